-- Everybody who may sign in to the console, or has yet to begin.
SELECT o.name, o.role, o.added_at, o.signed_in_at, o.password_hash IS NOT NULL AS is_set_up, o.invited_until,
       (SELECT count(*) FROM portcullis.operator_session s WHERE s.name = o.name AND s.is_full AND s.expires_at > now()) AS sessions
FROM portcullis.operator o
ORDER BY o.name
