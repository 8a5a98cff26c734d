-- name: InsertOrganization :exec
INSERT INTO organizations (id, name, operates, created_at, updated_at)
VALUES (@id, @name, @operates, @created_at, @updated_at);

-- name: GetOrganization :one
SELECT * FROM organizations WHERE id = @id;

-- name: GetOperatingOrganization :one
SELECT * FROM organizations WHERE operates;

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
