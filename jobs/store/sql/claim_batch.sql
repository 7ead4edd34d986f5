-- Claim one batch for a worker: raises its attempts and its fencing token.
--
-- $1  bigint    run
-- $2  bigint    batch
-- $3  bigint    token that the hint named
-- $4  text[]    stages that may be claimed here
-- $5  interval  lease
-- $6  text      holder
-- $7  integer   attempts after which a batch is not tried again
--
-- No row: somebody else has it, it is not due, it is spent, its run is over, or somebody paused it.
UPDATE portcullis.batch b
SET token = b.token + 1, attempts = b.attempts + 1, leased_until = clock_timestamp() + $5::interval, holder = $6
FROM portcullis.run r
JOIN portcullis.policy p ON p.organization_id = r.organization_id
WHERE b.batch_id = $2
  AND b.run_id = $1
  AND r.run_id = b.run_id
  AND b.token = $3
  AND b.stage = ANY ($4::text[])
  AND b.state = 'open'
  AND b.attempts < $7::integer
  AND b.next_at <= now()
  AND (b.leased_until IS NULL OR b.leased_until < now())
  AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
  AND (b.stage = 'settle' OR NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue))
RETURNING b.batch_id, b.run_id, b.stage, b.token, b.attempts, b.low, b.high, b.owed + b.deferred + b.sending AS letters, b.sending, b.deferred,
          r.organization_id, r.requested_by, coalesce(r.effective_at, r.requested_at) AS requested_at, r.exempt_kinds, r.planned_to, r.totals,
          r.organization_name, r.organization_locale, r.organization_time_zone, r.support_url, r.decided_by
