-- name: InsertGroup :exec
INSERT INTO groups (
    id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower
) VALUES (
    @id, @organization_id, @name, @description, @direct_principal, @direct_id, @created_at, @updated_at, @revision, @name_lower
);

-- name: UpdateGroup :execrows
UPDATE groups SET
    name = @name, description = @description, updated_at = @updated_at, name_lower = @name_lower, revision = revision + 1
WHERE id = @id AND revision = @revision;

-- LockGroup changes nothing. The row that it writes stays locked until the
-- transaction ends.
-- name: LockGroup :execrows
UPDATE groups SET description = description WHERE id = @id AND organization_id = @organization_id;

-- DeleteGroup takes the memberships and the roles of the group along; see the
-- schema.
-- name: DeleteGroup :execrows
DELETE FROM groups WHERE id = @id;

-- A group for sharing goes with the last thing that it shares, so it is hidden
-- when all that it shares is.

-- name: GetGroup :one
SELECT g.* FROM group_rows g WHERE g.organization_id = @organization_id AND g.id = @id
  AND CASE WHEN g.direct_id = '' THEN 0 ELSE (
        SELECT COALESCE(MIN((SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id)), 0) FROM role_assignments a WHERE a.group_id = g.id
      ) END <> 1;

-- name: GetGroupByName :one
SELECT g.* FROM group_rows g WHERE g.organization_id = @organization_id AND g.name = @name
  AND CASE WHEN g.direct_id = '' THEN 0 ELSE (
        SELECT COALESCE(MIN((SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id)), 0) FROM role_assignments a WHERE a.group_id = g.id
      ) END <> 1;

-- GetDirectGroup finds the group for sharing with one subject.
-- name: GetDirectGroup :one
SELECT * FROM group_rows WHERE organization_id = @organization_id AND direct_id = @direct_id AND direct_id <> '';

-- ListGroups has filters: a pattern, whether groups for sharing with one subject
-- are wanted (0 no, 1 yes, below 0 both), and a resource on which the group must
-- have no role.
-- name: ListGroups :many
SELECT g.* FROM group_rows g
WHERE g.organization_id = @organization_id
  AND (g.created_at, g.id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN g.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@direct AS BIGINT) < 0 OR CASE WHEN g.direct_id = '' THEN 0 ELSE 1 END = CAST(@direct AS BIGINT) THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@without_id AS TEXT) = '' OR (
        SELECT COUNT(*) FROM role_assignments a
        WHERE a.group_id = g.id AND a.resource_type = CAST(@without_type AS INTEGER) AND a.resource_id = CAST(@without_id AS TEXT)
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
      ) = 0 THEN 1 ELSE 0 END <> 0
  AND CASE WHEN g.direct_id = '' THEN 0 ELSE (
        SELECT COALESCE(MIN((SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id)), 0) FROM role_assignments a WHERE a.group_id = g.id
      ) END <> 1
ORDER BY g.created_at, g.id
LIMIT @max_rows;

-- FindGroup is ListGroups for one group.
-- name: FindGroup :many
SELECT g.* FROM group_rows g
WHERE g.organization_id = @organization_id AND g.id = @id
  AND (g.created_at, g.id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN g.name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@direct AS BIGINT) < 0 OR CASE WHEN g.direct_id = '' THEN 0 ELSE 1 END = CAST(@direct AS BIGINT) THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@without_id AS TEXT) = '' OR (
        SELECT COUNT(*) FROM role_assignments a
        WHERE a.group_id = g.id AND a.resource_type = CAST(@without_type AS INTEGER) AND a.resource_id = CAST(@without_id AS TEXT)
          AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
      ) = 0 THEN 1 ELSE 0 END <> 0
  AND CASE WHEN g.direct_id = '' THEN 0 ELSE (
        SELECT COALESCE(MIN((SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id)), 0) FROM role_assignments a WHERE a.group_id = g.id
      ) END <> 1;

-- CountGroups counts those that people made. (One that is being removed has no
-- direct_id any more.)
-- name: CountGroups :one
SELECT CAST((SELECT COUNT(*) FROM groups g WHERE g.organization_id = @organization_id AND g.direct_id = '')
    - (SELECT COUNT(*) FROM removals d WHERE d.organization_id = @organization_id AND d.kind IN (2, 3)) AS BIGINT) AS n;

-- LockUserAsMember and LockServiceAccountAsMember change nothing; they find only
-- who can be in a group, and keep it so until the transaction ends. Status 3 is
-- "left".
-- name: LockUserAsMember :execrows
UPDATE users SET status = status WHERE id = @id AND organization_id = @organization_id AND status <> 3;

-- name: LockServiceAccountAsMember :execrows
UPDATE service_accounts SET suspended_at = suspended_at
WHERE id = @id AND organization_id = @organization_id AND suspended_at = 0;

-- name: InsertMembership :exec
INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at)
VALUES (@id, @organization_id, @group_id, @subject_principal, @subject_id, @created_at);

-- name: DeleteMembership :execrows
DELETE FROM memberships WHERE id = @id;

-- name: GetMembership :one
SELECT * FROM membership_rows WHERE organization_id = @organization_id AND id = @id;

-- name: FindMembership :one
SELECT * FROM membership_rows
WHERE group_id = @group_id AND subject_id = @subject_id AND subject_principal = @subject_principal;

-- name: ListMemberships :many
SELECT * FROM membership_rows
WHERE group_id = @group_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY created_at, id
LIMIT @max_rows;
