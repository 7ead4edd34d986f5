-- When a letter of any run that has something to do, or had within the last hour, was last taken by the relay.
SELECT max(b.last_letter_at) AS last_letter_at
FROM portcullis.batch b
WHERE b.queue = 'notify' AND (b.state = 'open' OR b.done_at > now() - interval '1 hour')
