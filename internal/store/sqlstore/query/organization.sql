-- name: InsertOrganization :exec
INSERT INTO organizations (id, name, created_at, updated_at)
VALUES (@id, @name, @created_at, @updated_at);

-- name: GetOrganization :one
SELECT * FROM organizations WHERE id = @id;

-- name: GetOldestOrganization :one
SELECT * FROM organizations ORDER BY created_at, id LIMIT 1;

-- name: ListOrganizations :many
SELECT * FROM organizations
WHERE (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- name: UpdateOrganization :exec
UPDATE organizations SET name = @name, updated_at = @updated_at WHERE id = @id;

-- LockOrganization changes nothing. The row that it writes stays locked until
-- the transaction ends.
-- name: LockOrganization :exec
UPDATE organizations SET name = name WHERE id = @id;
