-- One dead batch, whole.
--
-- $1  bigint  batch
-- $2  text[]  stages that can be given up
--
-- No row: there is no such batch, or it is not dead.
SELECT b.batch_id, b.fingerprint, b.run_id, r.organization_id, r.state AS run_state,
       portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch) AS is_wanted, b.stage = ANY ($2::text[]) AS can_discard,
       b.stage, b.queue, b.low, b.high, b.attempts, b.token, b.holder, b.done_at AS died_at, b.error,
       (SELECT count(*) FROM portcullis.batch d WHERE d.state = 'dead' AND d.fingerprint = b.fingerprint) AS alike,
       b.members, b.owed, b.sending, b.deferred, b.accepted, b.refused, b.uncertain, b.suppressed, b.cancelled
FROM portcullis.batch b
JOIN portcullis.run r ON r.run_id = b.run_id
JOIN portcullis.policy p ON p.organization_id = r.organization_id
WHERE b.batch_id = $1 AND b.state = 'dead'
