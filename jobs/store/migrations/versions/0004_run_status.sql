-- One run as one object, from the batches' counters: no row of the ledger is read.

CREATE FUNCTION portcullis.run_status(run_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    found portcullis.run;
    answer jsonb;
BEGIN
    SELECT * INTO found FROM portcullis.run r WHERE r.run_id = run_status.run_id;
    IF found.run_id IS NULL THEN
        RAISE EXCEPTION 'There is no run %', run_status.run_id USING ERRCODE = 'PC005', HINT = '`portcullis runs` lists them.';
    END IF;
    SELECT jsonb_build_object(
        'run_id', found.run_id,
        'organization_id', found.organization_id,
        'epoch', found.epoch,
        'state', found.state,
        'stage', CASE
            WHEN found.state <> 'running' THEN 'finish'
            WHEN bool_or(b.stage = 'plan' AND b.state IN ('open', 'dead')) THEN 'plan'
            WHEN bool_or(b.stage = 'enforce' AND b.state = 'open') THEN 'enforce'
            WHEN bool_or(b.stage = 'notice' AND b.state = 'open') THEN 'notify'
            ELSE 'finish' END,
        'members', coalesce(sum(b.members), 0),
        'verdicts', jsonb_build_object(
            'unprotected', coalesce(sum(b.unprotected), 0),
            'protected', coalesce(sum(b.protected), 0),
            'sso', coalesce(sum(b.sso), 0),
            'exempt', coalesce(sum(b.exempt), 0),
            'inactive', coalesce(sum(b.inactive), 0)),
        'sessions_ended', coalesce(sum(b.sessions_ended), 0),
        'letters', (
            SELECT jsonb_build_object(
                'owed', coalesce(sum(n.owed), 0), 'sending', coalesce(sum(n.sending), 0),
                'deferred', coalesce(sum(n.deferred), 0), 'accepted', coalesce(sum(n.accepted), 0),
                'refused', coalesce(sum(n.refused), 0), 'uncertain', coalesce(sum(n.uncertain), 0),
                'suppressed', coalesce(sum(n.suppressed), 0), 'cancelled', coalesce(sum(n.cancelled), 0))
            FROM portcullis.batch n WHERE n.run_id = found.run_id AND n.stage IN ('notice', 'deferred')),
        'batches', jsonb_build_object(
            'open', count(*) FILTER (WHERE b.state = 'open' AND b.stage <> 'finish'),
            'done', count(*) FILTER (WHERE b.state = 'done' AND b.stage <> 'finish'),
            'dead', count(*) FILTER (WHERE b.state = 'dead')),
        'requested_by', found.requested_by,
        'reason', found.reason,
        'stopped_because', found.stopped_because,
        'requested_at', found.requested_at,
        'effective_at', found.effective_at,
        'last_session_ended_at', max(b.done_at) FILTER (WHERE b.stage = 'enforce' AND b.sessions_ended > 0),
        'last_letter_at', max(b.last_letter_at) FILTER (WHERE b.stage IN ('notice', 'deferred')),
        'finished_at', found.finished_at,
        'errors', coalesce((
            SELECT jsonb_agg(e.line) FROM (
                SELECT format('%s batch %s (%s, attempt %s): %s', e.stage, e.batch_id, e.state, e.attempts, e.error) AS line
                FROM portcullis.batch e
                WHERE e.run_id = found.run_id AND e.error IS NOT NULL AND e.state IN ('open', 'dead')
                ORDER BY e.state, e.batch_id LIMIT 5) e), '[]'))
    INTO answer
    FROM portcullis.batch b WHERE b.run_id = found.run_id;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION portcullis.run_status(bigint) IS 'One run as one object; `portcullis status RUN --json` prints the same.';
