-- Each attempt at a letter that was not accepted; the one that was is in the ledger. So a run in which all goes well writes nothing here.
--
-- Which mailer tried, under which token, and the relay's words. `outcome`:
--
--   refused     for good
--   deferred    the recipient's side may take it later
--   given_back  the relay's fault or the letter's own, nobody's attempt by the ladder
--   in_doubt    the final dot was written and no answer came
--   lost        a mailer ended before it had written down what became of it; it may have left
CREATE TABLE portcullis.attempt (
    run_id     bigint NOT NULL,
    slot       text NOT NULL,
    member_id  portcullis.member_id NOT NULL,
    attempt_id bigint GENERATED ALWAYS AS IDENTITY,
    batch_id   bigint NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('refused', 'deferred', 'given_back', 'in_doubt', 'lost')),
    tried_at   timestamptz NOT NULL DEFAULT now(),
    holder     text,
    token      bigint,
    relay      text,
    reason     text,
    PRIMARY KEY (run_id, slot, member_id, attempt_id)
);

-- Who goes out of the ledger, erased or forgotten, goes from here. A trigger for whole statements, and for deleting only: a foreign key
-- would cost something each time that a letter is written down.
CREATE FUNCTION portcullis.forget_attempts() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM portcullis.attempt a
    WHERE a.ctid = ANY (ARRAY(
        SELECT t.place FROM gone g
        CROSS JOIN LATERAL (
            SELECT l.ctid AS place FROM portcullis.attempt l
            WHERE l.run_id = g.run_id AND l.slot = g.slot AND l.member_id = g.member_id OFFSET 0) t));
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_attempts AFTER DELETE ON portcullis.delivery REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION portcullis.forget_attempts();
