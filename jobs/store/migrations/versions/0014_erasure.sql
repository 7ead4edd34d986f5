-- What is left of a member who is forgotten: what was done, and not to whom.

-- Rows of the ledger whose member was erased. They keep the sums; nothing leads back to a person.
CREATE TABLE portcullis.erased (
    run_id         bigint NOT NULL,
    slot           text NOT NULL,
    subject        bigint,
    batch_id       bigint NOT NULL,
    verdict        text NOT NULL,
    sessions_ended integer NOT NULL,
    state          text NOT NULL,
    attempts       smallint NOT NULL,
    erased_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX erased_of_run ON portcullis.erased (run_id);

-- When the rows of a run's members were removed, because they were old enough. Batches keep the counts, the audit keeps the record.
ALTER TABLE portcullis.run ADD COLUMN forgotten_at timestamptz;
