-- Take a factor that was begun out of its waiting place, once, if what it was to replace is still what is there.
--
-- $1  portcullis.member_id  user
-- $2  uuid                  factor
--
-- No row: somebody else confirmed, began or changed something meanwhile.
DELETE FROM portcullis.pending_factor p
WHERE p.user_id = $1::portcullis.member_id AND p.kind = 'totp' AND p.factor_id = $2
  AND p.replaces IS NOT DISTINCT FROM (
      SELECT f.factor_id FROM portcullis.factor f WHERE f.user_id = $1::portcullis.member_id AND f.kind = 'totp')
RETURNING p.key_id, p.secret
