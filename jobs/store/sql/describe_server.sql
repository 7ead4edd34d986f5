-- What of a server's settings the promises of Portcullis rest on.
SELECT current_setting('server_version') AS version,
       current_setting('default_transaction_isolation') AS isolation,
       current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery() AS is_read_only,
       current_setting('fsync')::boolean AND current_setting('synchronous_commit') <> 'off' AS is_durable
