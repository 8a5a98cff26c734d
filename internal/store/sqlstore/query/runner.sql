-- name: InsertRunner :exec
INSERT INTO runners (
    id, organization_id, name, kind, provider, manager_id, creator_principal, creator_id, variant, desired_phase,
    configuration, configuration_revision, public_key, pending_key, epoch, report, config_schema, status_at,
    created_at, updated_at, deleting_at, revision
) VALUES (
    @id, @organization_id, @name, @kind, @provider, @manager_id, @creator_principal, @creator_id, @variant, @desired_phase,
    @configuration, @configuration_revision, @public_key, @pending_key, @epoch, @report, @config_schema, @status_at,
    @created_at, @updated_at, @deleting_at, @revision
);

-- LockRunner changes nothing. The row that it writes stays locked until the
-- transaction ends.
-- name: LockRunner :exec
UPDATE runners SET name = name WHERE id = @id;

-- name: GetRunner :one
SELECT * FROM runner_rows WHERE id = @id;

-- FindRunner is GetRunner with the filters of a list.
-- name: FindRunner :many
SELECT * FROM runner_rows
WHERE organization_id = @organization_id AND id = @id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@kinds AS BIGINT) >> kind) & 1) <> 0
  AND ((CAST(@providers AS BIGINT) >> provider) & 1) <> 0;

-- name: ListRunners :many
SELECT * FROM runner_rows
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListRunnersOfCreator :many
SELECT * FROM runner_rows
WHERE organization_id = @organization_id AND creator_id = @creator_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@kinds AS BIGINT) >> kind) & 1) <> 0
  AND ((CAST(@providers AS BIGINT) >> provider) & 1) <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- ListRunnersOfGroup returns the runners that a group has a role on, each once.
-- name: ListRunnersOfGroup :many
SELECT r.* FROM role_assignments a
JOIN runner_rows r ON r.id = a.runner_id
WHERE a.group_id = @group_id AND a.runner_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM role_assignments b WHERE b.group_id = a.group_id AND b.runner_id = a.runner_id AND b.id < a.id)
  AND (a.runner_created_at, a.runner_id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
  AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
ORDER BY a.runner_created_at, a.runner_id
LIMIT @max_rows;

-- name: ListRunnersOfProvider :many
SELECT * FROM runner_rows
WHERE organization_id = @organization_id AND provider = @provider
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND ((CAST(@kinds AS BIGINT) >> kind) & 1) <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListRunnersOfKind :many
SELECT * FROM runner_rows
WHERE organization_id = @organization_id AND kind = @kind
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListDeletingRunners :many
SELECT * FROM runner_rows WHERE deleting_at > 0 ORDER BY deleting_at, id;

-- name: UpdateRunner :execrows
UPDATE runners SET
    name = @name, desired_phase = @desired_phase, configuration = @configuration,
    configuration_revision = @configuration_revision, public_key = @public_key, pending_key = @pending_key,
    deleting_at = @deleting_at, updated_at = @updated_at,
    revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: ListLLMIntegrationIDs :many
SELECT id FROM llm_integrations WHERE runner_id = @runner_id ORDER BY created_at, id;

-- name: CountRunners :one
SELECT CAST((SELECT COUNT(*) FROM runners r WHERE r.organization_id = @organization_id)
    - (SELECT COUNT(*) FROM removals d WHERE d.organization_id = @organization_id AND d.kind = 4) AS BIGINT) AS n;

-- DeleteRunner takes the session and the tokens along; see the schema.
-- name: DeleteRunner :execrows
DELETE FROM runners WHERE id = @id;

-- name: UpdateStatus :execrows
UPDATE runners SET report = @report, config_schema = @config_schema, status_at = @status_at
WHERE id = @id AND epoch = @epoch;
