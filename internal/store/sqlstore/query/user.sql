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

-- The lists leave out who is in one of some groups, whose ids are one after the
-- other in @excluded.

-- FindUser is GetUser with the filters of a list.
-- name: FindUser :many
SELECT u.* FROM users u
WHERE u.organization_id = @organization_id AND u.id = @id
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0);

-- name: ListUsersByJoined :many
SELECT u.* FROM users u
WHERE u.organization_id = @organization_id
  AND (u.created_at, u.id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0)
ORDER BY u.created_at, u.id
LIMIT @max_rows;

-- name: ListUsersByJoinedDescending :many
SELECT u.* FROM users u
WHERE u.organization_id = @organization_id
  AND (u.created_at, u.id) < (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0)
ORDER BY u.created_at DESC, u.id DESC
LIMIT @max_rows;

-- name: ListUsersByName :many
SELECT u.* FROM users u
WHERE u.organization_id = @organization_id
  AND (u.name_order, u.id) > (@after_name, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0)
ORDER BY u.name_order, u.id
LIMIT @max_rows;

-- name: ListUsersByNameDescending :many
SELECT u.* FROM users u
WHERE u.organization_id = @organization_id
  AND (u.name_order, u.id) < (@after_name, CAST(@after_id AS TEXT))
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0)
ORDER BY u.name_order DESC, u.id DESC
LIMIT @max_rows;

-- name: CountUsers :one
SELECT COUNT(*) FROM users u
WHERE u.organization_id = @organization_id
  AND ((CAST(@statuses AS BIGINT) >> u.status) & 1) <> 0
  AND ((CAST(@roles AS BIGINT) >> u.role) & 1) <> 0
  AND CASE WHEN u.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' OR u.email_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND (CAST(@excluded AS TEXT) = '' OR (
        SELECT COUNT(*) FROM memberships m WHERE m.subject_id = u.id AND CAST(@excluded AS TEXT) LIKE '%' || m.group_id || '%'
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
      ) = 0);
