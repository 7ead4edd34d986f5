-- I17: connections stay bounded: most of what the server has is free. Counted as every role may see it.
SELECT CASE WHEN sum(d.numbackends) > 0.9 * current_setting('max_connections')::integer THEN sum(d.numbackends) ELSE 0 END::bigint AS found,
       'connections are in use, of ' || current_setting('max_connections') AS words
FROM pg_stat_database d
