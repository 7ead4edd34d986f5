-- How many rows tables have, by PostgreSQL's own estimate; never analyzed: by their size.
--
-- $1  text[]  tables, each as schema.table
SELECT n.nspname || '.' || c.relname AS name,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 100.0 END::double precision AS rows
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY ($1::text[])
