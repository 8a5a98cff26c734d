-- name: InsertLLMIntegration :exec
INSERT INTO llm_integrations (
    id, organization_id, runner_id, models, endpoint, api_key, max_tokens, enabled, headers, created_at, updated_at, revision
) VALUES (
    @id, @organization_id, @runner_id, @models, @endpoint, @api_key, @max_tokens, @enabled, @headers, @created_at, @updated_at, @revision
);

-- name: UpdateLLMIntegration :execrows
UPDATE llm_integrations SET
    models = @models, endpoint = @endpoint, api_key = @api_key, max_tokens = @max_tokens, enabled = @enabled,
    headers = @headers, updated_at = @updated_at,
    revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: DeleteLLMIntegration :execrows
DELETE FROM llm_integrations WHERE id = @id;

-- name: GetLLMIntegration :one
SELECT * FROM llm_integration_rows
WHERE id = @id;

-- name: ListLLMIntegrations :many
SELECT * FROM llm_integration_rows
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListLLMIntegrationsOfRunner :many
SELECT * FROM llm_integration_rows
WHERE runner_id = @runner_id AND organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- ListLLMIntegrationsOfCreator returns those of the runners that somebody made.
-- name: ListLLMIntegrationsOfCreator :many
SELECT * FROM llm_integration_rows
WHERE organization_id = @organization_id AND runner_creator_id = @creator_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- ListLLMIntegrationsOfGroup returns those of the runners that a group has a
-- role on. 2 is the number of the resource type of runners.
-- name: ListLLMIntegrationsOfGroup :many
SELECT * FROM llm_integration_rows i
WHERE i.organization_id = @organization_id
  AND EXISTS (SELECT 1 FROM role_assignments a WHERE a.group_id = @group_id AND a.resource_type = 2 AND a.resource_id = i.runner_id)
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY i.created_at, i.id
LIMIT @max_rows;
