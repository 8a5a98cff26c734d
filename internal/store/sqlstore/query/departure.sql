-- What is removed in steps; see the schema. Each deletion takes up to @max_rows.

-- name: InsertRemoval :exec
INSERT INTO removals (
    id, organization_id, kind, object, actor_principal, actor_id, request_id, removed_at, step, host_runner, host_lower, sources, generation
) VALUES (
    @id, @organization_id, @kind, @object, @actor_principal, @actor_id, @request_id, @removed_at, @step, @host_runner, @host_lower, @sources, @generation
);

-- name: ListRemovals :many
SELECT * FROM removals ORDER BY removed_at, id LIMIT @max_rows;

-- TakeRemoval takes the next step of a removal, which stays locked until the
-- transaction ends.
-- name: TakeRemoval :execrows
UPDATE removals SET step = step + 1 WHERE id = @id AND step = @step;

-- name: DeleteRemoval :exec
DELETE FROM removals WHERE id = @id;

-- NextHostGeneration is later than every credential for a host on a runner, and
-- than every removal of them that is not done.
-- name: NextHostGeneration :one
SELECT CAST(1 + COALESCE(MAX(g.generation), 0) AS BIGINT) AS generation FROM (
    SELECT h.generation FROM host_tokens h WHERE h.runner_id = @runner_id AND h.host_lower = @host_lower
    UNION ALL
    SELECT d.generation FROM removals d WHERE d.host_runner = @runner_id AND d.host_lower = @host_lower
) g;

-- name: DeleteTokensOfUser :many
DELETE FROM tokens WHERE id IN (
    SELECT t.id FROM tokens t WHERE t.user_id = @user_id ORDER BY t.organization_id, t.created_at, t.id LIMIT @max_rows
) RETURNING *;

-- name: DeletePersonalTokensMadeBy :many
DELETE FROM tokens WHERE id IN (
    SELECT t.id FROM tokens t
    WHERE t.organization_id = @organization_id AND t.kind = 'pat' AND t.creator_id = @creator_id AND t.description = CAST(@description AS TEXT)
    ORDER BY t.created_at, t.id LIMIT @max_rows
) RETURNING *;

-- name: DeleteTokensOfRunner :many
DELETE FROM tokens WHERE id IN (SELECT t.id FROM tokens t WHERE t.runner_id = @runner_id LIMIT @max_rows)
RETURNING *;

-- name: DeleteTokensOfServiceAccount :many
DELETE FROM tokens WHERE id IN (
    SELECT t.id FROM tokens t WHERE t.service_account_id = @service_account_id ORDER BY t.kind, t.created_at, t.id LIMIT @max_rows
) RETURNING *;

-- DeleteMembershipsOfSubject leaves what goes with its group.
-- name: DeleteMembershipsOfSubject :many
DELETE FROM memberships WHERE id IN (
    SELECT m.id FROM memberships m
    WHERE m.subject_id = @subject_id AND m.organization_id = @organization_id
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
    ORDER BY m.group_id LIMIT @max_rows
) RETURNING group_id;

-- name: DeleteMembershipsOfGroup :many
DELETE FROM memberships WHERE id IN (
    SELECT m.id FROM memberships m WHERE m.group_id = @group_id ORDER BY m.created_at, m.id LIMIT @max_rows
) RETURNING *;

-- DeleteHostTokensOfSubject leaves what goes with its runner.
-- name: DeleteHostTokensOfSubject :many
DELETE FROM host_tokens WHERE id IN (
    SELECT h.id FROM host_tokens h
    WHERE h.subject_id = @subject_id AND h.organization_id = @organization_id
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
    ORDER BY h.created_at, h.id LIMIT @max_rows
) RETURNING id, runner_id;

-- DeleteHostTokensOfHost deletes those of an earlier generation: with bit 0 of the
-- sources those that were obtained with OAuth (1), with bit 1 the others.
-- name: DeleteHostTokensOfHost :many
DELETE FROM host_tokens WHERE id IN (
    SELECT h.id FROM host_tokens h
    WHERE h.runner_id = @runner_id AND h.host_lower = @host_lower AND h.generation < @generation
      AND (CAST(@sources AS INTEGER) & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
    LIMIT @max_rows
) RETURNING id, subject_principal, subject_id;

-- name: DeleteEnvironmentClassesOfRunner :many
DELETE FROM environment_classes WHERE id IN (
    SELECT c.id FROM environment_classes c WHERE c.runner_id = @runner_id ORDER BY c.created_at, c.id LIMIT @max_rows
) RETURNING id;

-- name: DeleteSCMIntegrationsOfRunner :many
DELETE FROM scm_integrations WHERE id IN (
    SELECT i.id FROM scm_integrations i WHERE i.runner_id = @runner_id ORDER BY i.created_at, i.id LIMIT @max_rows
) RETURNING id;

-- name: DeleteLLMIntegrationsOfRunner :many
DELETE FROM llm_integrations WHERE id IN (
    SELECT l.id FROM llm_integrations l WHERE l.runner_id = @runner_id ORDER BY l.created_at, l.id LIMIT @max_rows
) RETURNING id;

-- name: DeleteHostTokensOfRunner :many
DELETE FROM host_tokens WHERE id IN (
    SELECT h.id FROM host_tokens h WHERE h.runner_id = @runner_id ORDER BY h.created_at, h.id LIMIT @max_rows
) RETURNING id, subject_principal, subject_id;

-- name: DeleteKeysOfRunner :execrows
DELETE FROM runner_keys AS r WHERE r.runner_id = @runner_id AND r.sequence <= (
    SELECT CAST(COALESCE(MIN(k.sequence), 0) AS BIGINT) FROM runner_keys k WHERE k.runner_id = @runner_id
) + CAST(@max_rows AS BIGINT) - 1;

-- The roles that a group has and those on a resource, also when they are hidden.

-- name: ListRolesToDelete :many
SELECT a.*, CAST(CASE WHEN g.direct_id = '' THEN 0 ELSE 1 END AS INTEGER) AS direct FROM role_assignments a
JOIN groups g ON g.id = a.group_id
WHERE a.group_id = @group_id
ORDER BY a.created_at, a.id LIMIT @max_rows;

-- name: ListRolesOnToDelete :many
SELECT a.*, CAST(CASE WHEN g.direct_id = '' THEN 0 ELSE 1 END AS INTEGER) AS direct FROM role_assignments a
JOIN groups g ON g.id = a.group_id
WHERE a.resource_id = @resource_id AND a.resource_type = @resource_type
ORDER BY a.created_at, a.id LIMIT @max_rows;

-- name: ListRunnersOfRoles :many
SELECT runner_id FROM role_assignments WHERE group_id = @group_id AND runner_id IS NOT NULL;

-- CountRolesOfGroup counts hidden ones, too.
-- name: CountRolesOfGroup :one
SELECT COUNT(*) FROM (SELECT a.id FROM role_assignments a WHERE a.group_id = @group_id LIMIT 1) one;

-- FreeGroupName lets another group have the name of one that is being removed.
-- name: FreeGroupName :exec
UPDATE groups SET name = @free, direct_id = '' WHERE id = @id;
