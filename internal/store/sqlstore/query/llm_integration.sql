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

-- name: ListLLMIntegrationsSeenBy :many
SELECT i.* FROM runner_viewers v
JOIN llm_integration_rows i ON i.runner_id = v.runner_id
WHERE v.organization_id = @organization_id AND v.viewer_id = @viewer_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY i.created_at, i.id
LIMIT @max_rows;
