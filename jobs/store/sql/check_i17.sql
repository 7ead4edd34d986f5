-- I17: connections stay bounded: most of what the server has is free.
SELECT CASE WHEN count(*) > 0.9 * current_setting('max_connections')::integer THEN count(*) ELSE 0 END AS found,
       'connections are in use, of ' || current_setting('max_connections') AS words
FROM pg_stat_activity a WHERE a.backend_type = 'client backend'
