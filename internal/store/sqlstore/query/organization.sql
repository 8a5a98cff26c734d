-- name: InsertOrganization :exec
INSERT INTO organizations (id, name, created_at, updated_at)
VALUES (@id, @name, @created_at, @updated_at);

-- name: GetOrganization :one
SELECT * FROM organizations WHERE id = @id;

-- name: GetOldestOrganization :one
SELECT * FROM organizations ORDER BY created_at, id LIMIT 1;

-- LockOrganization changes nothing. It makes the transactions that decide by
-- the number of members of an organization run one after the other.
-- name: LockOrganization :exec
UPDATE organizations SET name = name WHERE id = @id;
