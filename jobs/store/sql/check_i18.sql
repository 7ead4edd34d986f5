-- I18: the letter fits what it was decided by. A sample of one batch.
SELECT count(*) AS found, 'letters of batch ' || min(one.batch_id) || ' are of a kind that does not fit' AS words
FROM (
    SELECT b.batch_id, b.run_id, b.low, b.high, CASE b.stage WHEN 'deferred' THEN 'notice' ELSE b.stage END AS slot
    FROM portcullis.batch b
    WHERE b.queue = 'notify' AND b.last_letter_at > now() - interval '1 hour' ORDER BY random() LIMIT 1
) one
CROSS JOIN LATERAL (
    SELECT d.letter FROM portcullis.delivery d
    WHERE d.run_id = one.run_id AND d.slot = one.slot AND d.batch_id = one.batch_id AND d.letter IS NOT NULL
      AND (one.low IS NULL OR d.member_id >= one.low)
    ORDER BY d.member_id LIMIT 500) d
WHERE NOT CASE one.slot
    WHEN 'notice' THEN d.letter IN ('signed_out', 'protected', 'single_sign_on', 'exempt')
    WHEN 'week' THEN d.letter = 'reminder'
    WHEN 'day' THEN d.letter = 'reminder'
    ELSE d.letter = one.slot END
