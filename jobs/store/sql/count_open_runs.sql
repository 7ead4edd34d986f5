-- How many runs have something left to do.
SELECT count(*) AS runs FROM portcullis.run r WHERE r.has_open_batches
