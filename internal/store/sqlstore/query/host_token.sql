-- name: InsertHostToken :exec
INSERT INTO host_tokens (
    id, organization_id, runner_id, host, subject_principal, subject_id, source, token, refresh_token, integration_id, scopes,
    expires_at, created_at, updated_at, revision, host_lower
) VALUES (
    @id, @organization_id, @runner_id, @host, @subject_principal, @subject_id, @source, @token, @refresh_token, @integration_id, @scopes,
    @expires_at, @created_at, @updated_at, @revision, @host_lower
);

-- name: UpdateHostToken :execrows
UPDATE host_tokens SET
    token = @token, refresh_token = @refresh_token, source = @source, integration_id = @integration_id, scopes = @scopes,
    expires_at = @expires_at, updated_at = @updated_at, revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: DeleteHostToken :execrows
DELETE FROM host_tokens WHERE id = @id;

-- DeleteHostTokensOfHost deletes those that were obtained with OAuth (1), the
-- others, or both.
-- name: DeleteHostTokensOfHost :many
DELETE FROM host_tokens
WHERE runner_id = @runner_id AND host_lower = @host_lower
  AND (source = 1 AND CAST(@oauth AS BOOLEAN) OR source <> 1 AND CAST(@others AS BOOLEAN))
RETURNING id, subject_principal, subject_id;

-- name: GetHostToken :one
SELECT * FROM host_tokens WHERE id = @id;

-- name: GetHostTokenOfSubject :one
SELECT * FROM host_tokens WHERE runner_id = @runner_id AND host_lower = @host_lower AND subject_id = @subject_id;

-- name: CountHostTokens :one
SELECT COUNT(*) FROM host_tokens WHERE runner_id = @runner_id AND subject_id = @subject_id;

-- name: ListHostTokens :many
SELECT * FROM host_tokens
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- ListHostTokensOfRunner returns those of one subject, or of all when that is
-- empty.
-- name: ListHostTokensOfRunner :many
SELECT * FROM host_tokens
WHERE runner_id = @runner_id AND organization_id = @organization_id
  AND (CAST(@subject_id AS TEXT) = '' OR subject_id = CAST(@subject_id AS TEXT))
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- ListHostTokensOfSubject returns those on one runner, or on all when that is
-- empty.
-- name: ListHostTokensOfSubject :many
SELECT * FROM host_tokens
WHERE subject_id = @subject_id AND organization_id = @organization_id
  AND (CAST(@runner_id AS TEXT) = '' OR runner_id = CAST(@runner_id AS TEXT))
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- ListHostTokensReadBy returns those on the runners on which a group has a role
-- with a number of a set: of one subject, or of all when that is empty, and on
-- one runner, or on all when that is empty.
-- name: ListHostTokensReadBy :many
SELECT h.* FROM (
    SELECT DISTINCT a.runner_id FROM role_assignments a
    WHERE a.group_id = @group_id AND a.runner_id IS NOT NULL AND a.resource_role < 63
      AND ((CAST(@roles AS BIGINT) >> a.resource_role) & 1) <> 0
      AND (CAST(@runner_id AS TEXT) = '' OR a.runner_id = CAST(@runner_id AS TEXT))
) v
JOIN host_tokens h ON h.runner_id = v.runner_id
WHERE (CAST(@subject_id AS TEXT) = '' OR h.subject_id = CAST(@subject_id AS TEXT))
  AND (h.created_at, h.id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY h.created_at, h.id
LIMIT @max_rows;
