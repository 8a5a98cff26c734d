-- ListGroupsOfSubject is asked for when a token is checked.
-- name: ListGroupsOfSubject :many
SELECT m.group_id FROM memberships m WHERE m.subject_id = @subject_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.subject_id) <> 1
ORDER BY m.group_id;

-- ListOrganizationRolesOfSubject returns the roles on its organization that a
-- subject has through groups.
-- name: ListOrganizationRolesOfSubject :many
SELECT a.group_id, a.resource_role
FROM memberships m
JOIN role_assignments a ON a.group_id = m.group_id
WHERE m.subject_id = @subject_id AND a.resource_type = 7 AND a.resource_id = @organization_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.subject_id) <> 1
ORDER BY a.group_id, a.resource_role;
