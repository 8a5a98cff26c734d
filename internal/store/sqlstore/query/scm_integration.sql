-- name: InsertSCMIntegration :exec
INSERT INTO scm_integrations (
    id, organization_id, runner_id, scm_id, host, pat, oauth_client_id, oauth_client_secret, issuer_url, virtual_directory,
    created_at, updated_at, revision, host_lower
) VALUES (
    @id, @organization_id, @runner_id, @scm_id, @host, @pat, @oauth_client_id, @oauth_client_secret, @issuer_url, @virtual_directory,
    @created_at, @updated_at, @revision, @host_lower
);

-- name: UpdateSCMIntegration :execrows
UPDATE scm_integrations SET
    pat = @pat, oauth_client_id = @oauth_client_id, oauth_client_secret = @oauth_client_secret, issuer_url = @issuer_url,
    virtual_directory = @virtual_directory, updated_at = @updated_at,
    revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: DeleteSCMIntegration :execrows
DELETE FROM scm_integrations WHERE id = @id;

-- name: GetSCMIntegration :one
SELECT i.* FROM scm_integrations i WHERE i.id = @id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1;

-- name: GetSCMIntegrationOfHost :one
SELECT i.* FROM scm_integrations i WHERE i.runner_id = @runner_id AND i.host_lower = @host_lower
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1;

-- name: ListSCMIntegrations :many
SELECT i.* FROM scm_integrations i
WHERE i.organization_id = @organization_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- name: ListSCMIntegrationsOfRunner :many
SELECT i.* FROM scm_integrations i
WHERE i.runner_id = @runner_id AND i.organization_id = @organization_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- name: ListSCMIntegrationsSeenBy :many
SELECT i.* FROM runner_viewers v
JOIN scm_integrations i ON i.runner_id = v.runner_id
WHERE v.organization_id = @organization_id AND v.viewer_id = @viewer_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY i.created_at, i.id
LIMIT @max_rows;
