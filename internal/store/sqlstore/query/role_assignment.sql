-- The lists take sets as texts, which begin and end with a comma and have one
-- between any two values; the empty text stands for all.

-- name: InsertRoleAssignment :exec
INSERT INTO role_assignments (
    id, organization_id, group_id, resource_type, resource_id, resource_role, slot, created_at, revision,
    runner_id, runner_created_at
) VALUES (
    @id, @organization_id, @group_id, @resource_type, @resource_id, @resource_role, @slot, @created_at, @revision,
    @runner_id, COALESCE((SELECT r.created_at FROM runners r WHERE r.id = @runner_id), 0)
);

-- name: UpdateRoleAssignment :execrows
UPDATE role_assignments SET resource_role = @resource_role, slot = @slot, revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: DeleteRoleAssignment :execrows
DELETE FROM role_assignments WHERE id = @id;

-- name: GetRoleAssignment :one
SELECT a.* FROM role_assignments a WHERE a.organization_id = @organization_id AND a.id = @id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1;

-- name: GetRoleAssignmentInSlot :one
SELECT a.* FROM role_assignments a
WHERE a.group_id = @group_id AND a.resource_type = @resource_type AND a.resource_id = @resource_id AND a.slot = @slot
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1;

-- name: ListAllRoleAssignmentsOfGroup :many
SELECT a.* FROM role_assignments a WHERE a.group_id = @group_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT @max_rows;

-- CountOrganizationRolesOfGroup counts the roles that a group has on an
-- organization as a whole.
-- name: CountOrganizationRolesOfGroup :one
SELECT COUNT(*) FROM role_assignments a WHERE a.group_id = @group_id AND a.resource_type = 7
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1;

-- FindRoleAssignmentBeyond returns the oldest assignment of a group with one of
-- the sharing roles on a resource on which none of some groups has one of them.
-- name: FindRoleAssignmentBeyond :one
SELECT a.* FROM role_assignments a
WHERE a.group_id = @group_id
  AND CASE WHEN CAST(@sharing AS TEXT) LIKE '%,' || CAST(a.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
  AND NOT EXISTS (
    SELECT 1 FROM role_assignments b
    WHERE b.resource_id = a.resource_id AND b.resource_type = a.resource_type
      AND CASE WHEN CAST(@sharing AS TEXT) LIKE '%,' || CAST(b.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
      AND CASE WHEN CAST(@others AS TEXT) LIKE '%,' || b.group_id || ',%' THEN 1 ELSE 0 END <> 0
  )
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT 1;

-- name: ListRoleAssignments :many
SELECT a.* FROM role_assignments a
WHERE a.organization_id = @organization_id
  AND (a.created_at, a.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT @max_rows;

-- name: ListRoleAssignmentsOfRole :many
SELECT a.* FROM role_assignments a
WHERE a.organization_id = @organization_id AND a.resource_role = @resource_role
  AND (a.created_at, a.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT @max_rows;

-- name: ListRoleAssignmentsOfGroup :many
SELECT a.* FROM role_assignments a
WHERE a.organization_id = @organization_id AND a.group_id = @group_id
  AND (a.created_at, a.id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN CAST(@resources AS TEXT) = '' OR CAST(@resources AS TEXT) LIKE '%,' || a.resource_id || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@roles AS TEXT) = '' OR CAST(@roles AS TEXT) LIKE '%,' || CAST(a.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT @max_rows;

-- name: ListRoleAssignmentsOnResource :many
SELECT a.* FROM role_assignments a
WHERE a.organization_id = @organization_id AND a.resource_id = @resource_id
  AND (a.created_at, a.id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN CAST(@roles AS TEXT) = '' OR CAST(@roles AS TEXT) LIKE '%,' || CAST(a.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@groups AS TEXT) = '' OR CAST(@groups AS TEXT) LIKE '%,' || a.group_id || ',%' THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.resource_id) <> 1
ORDER BY a.created_at, a.id
LIMIT @max_rows;

-- ListRoleAssignmentsSharedBy returns the roles on runners that a group has one
-- of the sharing roles on. It sorts what the group may share, which no index
-- has in order, and nothing else.
-- name: ListRoleAssignmentsSharedBy :many
SELECT DISTINCT b.* FROM role_assignments a
JOIN role_assignments b ON b.runner_id = a.runner_id
WHERE a.group_id = @group_id AND a.runner_id IS NOT NULL
  AND CASE WHEN CAST(@sharing AS TEXT) LIKE '%,' || CAST(a.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@resources AS TEXT) = '' OR CAST(@resources AS TEXT) LIKE '%,' || a.resource_id || ',%' THEN 1 ELSE 0 END <> 0
  AND (b.created_at, b.id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN CAST(@roles AS TEXT) = '' OR CAST(@roles AS TEXT) LIKE '%,' || CAST(b.resource_role AS TEXT) || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@groups AS TEXT) = '' OR CAST(@groups AS TEXT) LIKE '%,' || b.group_id || ',%' THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = b.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = b.resource_id) <> 1
ORDER BY b.created_at, b.id
LIMIT @max_rows;
