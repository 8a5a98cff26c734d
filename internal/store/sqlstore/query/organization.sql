-- name: InsertOrganization :exec
INSERT INTO organizations (id, name, created_at, updated_at)
VALUES (@id, @name, @created_at, @updated_at);

-- name: GetOrganization :one
SELECT * FROM organizations WHERE id = @id;

-- name: GetOldestOrganization :one
SELECT * FROM organizations ORDER BY created_at, id LIMIT 1;

-- LockOrganization changes nothing. The row that it writes stays locked until
-- the transaction ends.
-- name: LockOrganization :exec
UPDATE organizations SET name = name WHERE id = @id;
