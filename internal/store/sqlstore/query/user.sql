-- name: InsertUser :exec
INSERT INTO users (
    id, organization_id, name, email, role, status, created_at, updated_at, revision,
    name_lower, email_lower, name_order
) VALUES (
    @id, @organization_id, @name, @email, @role, @status, @created_at, @updated_at, @revision,
    @name_lower, @email_lower, @name_order
);

-- name: UpdateUser :execrows
UPDATE users SET
    name = @name, email = @email, role = @role, status = @status, updated_at = @updated_at,
    name_lower = @name_lower, email_lower = @email_lower, name_order = @name_order,
    revision = revision + 1
WHERE id = @id AND organization_id = @organization_id AND revision = @revision;

-- name: GetUser :one
SELECT * FROM users WHERE organization_id = @organization_id AND id = @id;

-- name: GetUserByEmail :one
SELECT * FROM users
WHERE organization_id = @organization_id AND email_lower = @email_lower AND status <> 3;

-- FindUser is GetUser with the filters of a list.
-- name: FindUser :many
SELECT * FROM users
WHERE organization_id = @organization_id AND id = @id
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0;

-- name: ListUsersByJoined :many
SELECT * FROM users
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListUsersByJoinedDescending :many
SELECT * FROM users
WHERE organization_id = @organization_id
  AND (created_at, id) < (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: ListUsersByName :many
SELECT * FROM users
WHERE organization_id = @organization_id
  AND (name_order, id) > (@after_name, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY name_order, id
LIMIT @max_rows;

-- name: ListUsersByNameDescending :many
SELECT * FROM users
WHERE organization_id = @organization_id
  AND (name_order, id) < (@after_name, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY name_order DESC, id DESC
LIMIT @max_rows;

-- name: CountUsers :one
SELECT COUNT(*) FROM users
WHERE organization_id = @organization_id
  AND ((CAST(@statuses AS BIGINT) >> status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> role) & 1) <> 0
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0;
