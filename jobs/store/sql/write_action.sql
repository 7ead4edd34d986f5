-- Record what somebody ordered. A run's organization is looked up.
--
-- $1  text                        who
-- $2  text                        by which way: cli, console, api, worker
-- $3  text                        what, as a verb
-- $4  text                        on what kind of thing; '' if none
-- $5  text                        on which one; '' if there is but one
-- $6  bigint                      run, or null
-- $7  portcullis.organization_id  organization, or null
-- $8  text                        why
-- $9  text                        anything else, as a JSON object
INSERT INTO portcullis.action (actor, via, verb, scope, subject, run_id, organization_id, reason, details)
SELECT $1, $2, $3, $4, $5, $6,
       coalesce($7::portcullis.organization_id, (SELECT r.organization_id FROM portcullis.run r WHERE r.run_id = $6)), $8, $9::text::jsonb
