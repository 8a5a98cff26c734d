-- The lists below find hosts by their names, oldest first. With @live, runners
-- whose newest session has ended are left out. What is asked of the runner is one
-- number for each host, as in the lists of environment classes.

-- ListPlaces walks through those of the organization with one name.
-- name: ListPlaces :many
SELECT * FROM scm_integrations i
WHERE i.organization_id = @organization_id AND i.host_lower = @host_lower
  AND CASE WHEN CAST(@live AS BIGINT) = 0 OR (SELECT COUNT(*) FROM sessions s WHERE s.runner_id = i.runner_id AND s.ended_at = 0) > 0 THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- The names of the other two stand in one text, ",github.com,github.com/acme,":
-- what few runners have is looked through. A host with a "_" or a "," in it may be
-- found for another one.

-- name: ListPlacesOfCreator :many
SELECT i.* FROM runners r
JOIN scm_integrations i ON i.runner_id = r.id
WHERE r.organization_id = @organization_id AND r.creator_id = @creator_id
  AND CASE WHEN CAST(@names AS TEXT) LIKE '%,' || i.host_lower || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@live AS BIGINT) = 0 OR (SELECT COUNT(*) FROM sessions s WHERE s.runner_id = i.runner_id AND s.ended_at = 0) > 0 THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- ListPlacesOfGroup returns those on the runners on which a group has a role with
-- a number of a set.
-- name: ListPlacesOfGroup :many
SELECT i.* FROM (
    SELECT DISTINCT a.runner_id FROM role_assignments a
    WHERE a.group_id = @group_id AND a.organization_id = @organization_id AND a.runner_id IS NOT NULL AND a.resource_role < 63
      AND ((CAST(@roles AS BIGINT) >> a.resource_role) & 1) <> 0
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
) v
JOIN scm_integrations i ON i.runner_id = v.runner_id
WHERE CASE WHEN CAST(@names AS TEXT) LIKE '%,' || i.host_lower || ',%' THEN 1 ELSE 0 END <> 0
  AND CASE WHEN CAST(@live AS BIGINT) = 0 OR (SELECT COUNT(*) FROM sessions s WHERE s.runner_id = i.runner_id AND s.ended_at = 0) > 0 THEN 1 ELSE 0 END <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- ListHostsInUse returns those of some names that a runner of the organization
-- has. The names stand one behind the other in one text, filled with spaces to
-- one width: an array is written otherwise in each database.
-- name: ListHostsInUse :many
WITH RECURSIVE cells(name, rest) AS (
    SELECT CAST('' AS TEXT), CAST(@names AS TEXT)
    UNION ALL
    SELECT rtrim(substr(c.rest, 1, CAST(@width AS INTEGER))), substr(c.rest, CAST(@width AS INTEGER) + 1) FROM cells c WHERE c.rest <> ''
)
SELECT c.name FROM cells c
WHERE (SELECT i.host_lower FROM scm_integrations i WHERE i.organization_id = @organization_id AND i.host_lower = c.name
    AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1 LIMIT 1) IS NOT NULL;
