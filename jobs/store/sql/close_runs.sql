-- Take runs that are over and have nothing open out of the conductor's sight; a pause of such a run ends with it, which is recorded.
--
-- By place, and only where nobody else is at the run: whoever stops it or has a batch of it replayed at this moment opens something that
-- this statement does not see.
WITH over AS MATERIALIZED (
    SELECT r.run_id, r.ctid AS place
    FROM portcullis.run r
    WHERE r.has_open_batches AND r.state <> 'running'
      AND NOT EXISTS (SELECT FROM portcullis.batch b WHERE b.run_id = r.run_id AND b.state = 'open')
), free AS MATERIALIZED (
    SELECT r.run_id FROM over o JOIN portcullis.run r ON r.run_id = o.run_id
    FOR NO KEY UPDATE OF r SKIP LOCKED
), closed AS (
    UPDATE portcullis.run r SET has_open_batches = false
    FROM over o JOIN free f ON f.run_id = o.run_id
    WHERE r.ctid = o.place
    RETURNING r.run_id, r.organization_id
), ended AS (
    DELETE FROM portcullis.pause p USING closed c WHERE p.scope = 'run' AND p.subject = c.run_id::text
    RETURNING p.scope, p.subject, c.run_id, c.organization_id
), noted AS (
    INSERT INTO portcullis.action (actor, via, verb, scope, subject, run_id, organization_id, reason)
    SELECT 'conductor', 'worker', 'resume', e.scope, e.subject, e.run_id, e.organization_id, 'the run is over' FROM ended e
)
SELECT c.run_id FROM closed c
