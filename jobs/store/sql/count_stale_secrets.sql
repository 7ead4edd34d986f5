-- How many secrets are sealed under another key than the current one.
--
-- $1  text  current key id
SELECT (SELECT count(*) FROM portcullis.factor f WHERE f.kind = 'totp' AND f.key_id <> $1)
     + (SELECT count(*) FROM portcullis.pending_factor p WHERE p.kind = 'totp' AND p.key_id <> $1)
     + (SELECT count(*) FROM portcullis.recovery_set s WHERE s.key_id <> $1)
     + (SELECT count(*) FROM portcullis.operator o WHERE o.key_id <> $1)
     + (SELECT count(*) FROM portcullis.operator o WHERE o.pending_key_id <> $1) AS secrets
