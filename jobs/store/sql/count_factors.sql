-- The second factor in numbers: factors by kind and state, and members who wait after too many failures.
SELECT f.kind, count(*) FILTER (WHERE f.disabled_at IS NULL) AS active, count(*) FILTER (WHERE f.disabled_at IS NOT NULL) AS disabled,
       (SELECT count(*) FROM portcullis.holder h WHERE h.locked_until > now()) AS locked
FROM portcullis.factor f
GROUP BY f.kind ORDER BY f.kind
