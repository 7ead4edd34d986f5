-- Letters that have not left yet, of every run that has something to do, by organization; the most first.
--
-- $1  integer  organizations at most
SELECT r.organization_id::text AS organization_id, max(r.organization_name) AS organization_name,
       sum(b.owed + b.sending)::bigint AS letters, sum(b.deferred)::bigint AS deferred
FROM portcullis.run r
JOIN portcullis.batch b ON b.run_id = r.run_id AND b.queue = 'notify' AND b.state = 'open'
WHERE r.has_open_batches
GROUP BY r.organization_id
HAVING sum(b.owed + b.sending + b.deferred) > 0
ORDER BY 3 DESC LIMIT $1::integer
