-- Which conductor leads, and for how much longer without another word from it.
SELECT l.holder, l.term, extract(epoch FROM l.leased_until - now())::double precision AS lease_left_seconds
FROM portcullis.leader l WHERE l.role = 'conductor'
