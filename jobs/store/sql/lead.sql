-- Take or keep the lead among the conductors.
--
-- $1  text      holder
-- $2  interval  lease
--
-- One row with the term, if this holder leads now; no row: somebody else does.
INSERT INTO portcullis.leader AS l (role, holder, leased_until)
VALUES ('conductor', $1, clock_timestamp() + $2::interval)
ON CONFLICT (role) DO UPDATE
SET holder = excluded.holder, leased_until = excluded.leased_until, term = l.term + (l.holder <> excluded.holder)::integer
WHERE l.holder = excluded.holder OR l.leased_until < clock_timestamp()
RETURNING term
