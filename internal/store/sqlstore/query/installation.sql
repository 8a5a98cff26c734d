-- name: ListSigningKeys :many
SELECT * FROM signing_keys ORDER BY created_at, id;

-- InsertSigningKey does nothing when a key is in use already.
-- name: InsertSigningKey :exec
INSERT INTO signing_keys (id, wrapped, public_key, created_at, retired_at)
VALUES (@id, @wrapped, @public_key, @created_at, 0)
ON CONFLICT (retired_at) WHERE retired_at = 0 DO NOTHING;

-- name: GetMeta :one
SELECT value FROM meta WHERE name = @name;

-- name: InsertMeta :exec
INSERT INTO meta (name, value) VALUES (@name, @value) ON CONFLICT (name) DO NOTHING;
