-- What the auditor found when it last looked, an invariant a row, broken ones first.
SELECT a.invariant, a.found, a.words, a.looked_at FROM portcullis.audit_result a ORDER BY a.found = 0, length(a.invariant), a.invariant
