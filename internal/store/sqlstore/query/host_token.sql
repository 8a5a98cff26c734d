-- name: InsertHostToken :exec
INSERT INTO host_tokens (
    id, organization_id, runner_id, host, subject_principal, subject_id, source, token, refresh_token, integration_id, scopes,
    expires_at, created_at, updated_at, revision, host_lower, generation
) VALUES (
    @id, @organization_id, @runner_id, @host, @subject_principal, @subject_id, @source, @token, @refresh_token, @integration_id, @scopes,
    @expires_at, @created_at, @updated_at, @revision, @host_lower,
    COALESCE((SELECT MAX(d.generation) FROM removals d WHERE d.host_runner = @runner_id AND d.host_lower = @host_lower), 0)
);

-- name: UpdateHostToken :execrows
UPDATE host_tokens SET
    token = @token, refresh_token = @refresh_token, source = @source, integration_id = @integration_id, scopes = @scopes,
    expires_at = @expires_at, updated_at = @updated_at, revision = revision + 1
WHERE id = @id AND revision = @revision;

-- name: DeleteHostToken :execrows
DELETE FROM host_tokens WHERE id = @id;

-- name: GetHostToken :one
SELECT h.* FROM host_tokens h WHERE h.id = @id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0;

-- name: GetHostTokenOfSubject :one
SELECT h.* FROM host_tokens h WHERE h.runner_id = @runner_id AND h.host_lower = @host_lower AND h.subject_id = @subject_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0;

-- name: CountHostTokens :one
SELECT COUNT(*) FROM host_tokens h WHERE h.runner_id = @runner_id AND h.subject_id = @subject_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0;

-- name: ListHostTokens :many
SELECT h.* FROM host_tokens h
WHERE h.organization_id = @organization_id
  AND (h.created_at, h.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
ORDER BY h.created_at, h.id
LIMIT @max_rows;

-- ListHostTokensOfRunner returns those of one subject, or of all when that is
-- empty.
-- name: ListHostTokensOfRunner :many
SELECT h.* FROM host_tokens h
WHERE h.runner_id = @runner_id AND h.organization_id = @organization_id
  AND (CAST(@subject_id AS TEXT) = '' OR h.subject_id = CAST(@subject_id AS TEXT))
  AND (h.created_at, h.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
ORDER BY h.created_at, h.id
LIMIT @max_rows;

-- ListHostTokensOfSubject returns those on one runner, or on all when that is
-- empty.
-- name: ListHostTokensOfSubject :many
SELECT h.* FROM host_tokens h
WHERE h.subject_id = @subject_id AND h.organization_id = @organization_id
  AND (CAST(@runner_id AS TEXT) = '' OR h.runner_id = CAST(@runner_id AS TEXT))
  AND (h.created_at, h.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
ORDER BY h.created_at, h.id
LIMIT @max_rows;

-- ListHostTokensReadBy returns those on the runners on which a group has a role
-- with a number of a set: of one subject, or of all when that is empty, and on
-- one runner, or on all when that is empty.
-- name: ListHostTokensReadBy :many
SELECT h.* FROM (
    SELECT DISTINCT a.runner_id FROM role_assignments a
    WHERE a.group_id = @group_id AND a.runner_id IS NOT NULL AND a.resource_role < 63
      AND ((CAST(@roles AS BIGINT) >> a.resource_role) & 1) <> 0
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
      AND (CAST(@runner_id AS TEXT) = '' OR a.runner_id = CAST(@runner_id AS TEXT))
) v
JOIN host_tokens h ON h.runner_id = v.runner_id
WHERE (CAST(@subject_id AS TEXT) = '' OR h.subject_id = CAST(@subject_id AS TEXT))
  AND (h.created_at, h.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
ORDER BY h.created_at, h.id
LIMIT @max_rows;
