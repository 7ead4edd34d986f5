-- Where each chain ends that grew since a seal, and the last seal of all.
--
-- $1  bigint  number of the last seal that was signed for
SELECT n.run_id, n.place, s.digest, max(n.upto) OVER () AS upto
FROM (
    SELECT t.run_id, max(t.place) AS place, max(t.seal_id) AS upto FROM portcullis.audit_seal t WHERE t.seal_id > $1 GROUP BY t.run_id
) n
JOIN portcullis.audit_seal s ON s.run_id = n.run_id AND s.place = n.place
ORDER BY n.run_id
