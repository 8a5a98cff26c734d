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
SELECT * FROM scm_integrations WHERE id = @id;

-- name: GetSCMIntegrationOfHost :one
SELECT * FROM scm_integrations WHERE runner_id = @runner_id AND host_lower = @host_lower;

-- The two lists below differ in the index that they walk: all integrations of the
-- organization, or those of one runner. Of what they pass they keep those of
-- runners that the caller sees: all (sees is 1), those that @creator_id made, and
-- those on which one of @group_ids has a role. Groups are one text, and nobody is
-- the empty one.
--
-- Whether the runner is seen is one number for each integration, and not a join or
-- an EXISTS: those may be answered for all at once, before the first is passed on.

-- name: ListSCMIntegrations :many
SELECT * FROM scm_integrations i
WHERE i.organization_id = @organization_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (
    SELECT CASE WHEN
      CAST(@sees AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@creator_id AS TEXT), '') OR (
        SELECT COUNT(*) FROM role_assignments a
        WHERE a.runner_id = r.id AND CAST(@group_ids AS TEXT) LIKE '%' || a.group_id || '%'
      ) > 0
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = i.runner_id
  ) <> 0
ORDER BY i.created_at, i.id
LIMIT @max_rows;

-- name: ListSCMIntegrationsOfRunner :many
SELECT * FROM scm_integrations i
WHERE i.runner_id = @runner_id AND i.organization_id = @organization_id
  AND (i.created_at, i.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (
    SELECT CASE WHEN
      CAST(@sees AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@creator_id AS TEXT), '') OR (
        SELECT COUNT(*) FROM role_assignments a
        WHERE a.runner_id = r.id AND CAST(@group_ids AS TEXT) LIKE '%' || a.group_id || '%'
      ) > 0
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = i.runner_id
  ) <> 0
ORDER BY i.created_at, i.id
LIMIT @max_rows;
