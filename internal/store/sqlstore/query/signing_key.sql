-- name: ListSigningKeys :many
SELECT * FROM signing_keys WHERE purpose = @purpose ORDER BY created_at, id;

-- InsertSigningKey does nothing when a key is in use already.
-- name: InsertSigningKey :execrows
INSERT INTO signing_keys (id, wrapped, public_key, created_at, retired_at, purpose)
VALUES (@id, @wrapped, @public_key, @created_at, 0, @purpose)
ON CONFLICT (purpose) WHERE retired_at = 0 DO NOTHING;

-- name: RetireSigningKey :execrows
UPDATE signing_keys SET retired_at = @retired_at, wrapped = @wrapped WHERE purpose = @purpose AND retired_at = 0;

-- name: DeleteRetiredKeys :execrows
DELETE FROM signing_keys WHERE purpose = @purpose AND retired_at > 0 AND retired_at < @before;

-- name: ListWrappedSigningKeys :many
SELECT id, wrapped FROM signing_keys WHERE retired_at = 0 ORDER BY id;

-- name: RewrapSigningKey :execrows
UPDATE signing_keys SET wrapped = @fresh WHERE id = @id AND wrapped = @wrapped;

-- Only a runner that never had a public key has secrets that wait for one.
-- name: ListRunnersWithoutKey :many
SELECT id, configuration FROM runners
WHERE id > @after_id AND length(public_key) = 0
ORDER BY id LIMIT @max_rows;

-- GetProfile returns what people call a subject.
-- name: GetProfile :one
SELECT u.name, u.email FROM users u WHERE u.id = CAST(@id AS TEXT) AND u.organization_id = CAST(@organization_id AS TEXT)
UNION ALL
SELECT s.name, '' FROM service_accounts s WHERE s.id = CAST(@id AS TEXT) AND s.organization_id = CAST(@organization_id AS TEXT)
UNION ALL
SELECT r.name, '' FROM runners r WHERE r.id = CAST(@id AS TEXT) AND r.organization_id = CAST(@organization_id AS TEXT)
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = r.id) <> 1
LIMIT 1;
