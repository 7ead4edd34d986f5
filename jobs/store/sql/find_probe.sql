-- Somebody to ask the gate about, for measuring how long it takes: who switched on last wherever it is required.
SELECT p.organization_id, p.changed_by AS user_id FROM portcullis.policy p WHERE p.required LIMIT 1
