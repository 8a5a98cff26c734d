-- name: ListSigningKeys :many
SELECT * FROM signing_keys WHERE purpose = @purpose ORDER BY created_at, id;

-- InsertSigningKey does nothing when a key is in use already.
-- name: InsertSigningKey :exec
INSERT INTO signing_keys (id, wrapped, public_key, created_at, retired_at, purpose)
VALUES (@id, @wrapped, @public_key, @created_at, 0, @purpose)
ON CONFLICT (purpose) WHERE retired_at = 0 DO NOTHING;

-- name: GetMeta :one
SELECT value FROM meta WHERE name = @name;

-- name: InsertMeta :exec
INSERT INTO meta (name, value) VALUES (@name, @value) ON CONFLICT (name) DO NOTHING;
