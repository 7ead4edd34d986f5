-- Be the only one who seals and signs, until this transaction ends. False: somebody else does at this moment.
SELECT pg_try_advisory_xact_lock(hashtextextended('portcullis audit chains', 0)) AS is_held
