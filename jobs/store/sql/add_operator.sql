-- Add an operator who has yet to use the invitation.
--
-- $1  text      name
-- $2  text      'viewer' or 'operator'
-- $3  bytea     digest of the invitation's code
-- $4  interval  how long it is good for
--
-- No row: there is somebody of that name.
INSERT INTO portcullis.operator (name, role, invitation, invited_until)
VALUES ($1, $2, $3, now() + $4::interval)
ON CONFLICT (name) DO NOTHING
RETURNING invited_until
