-- name: InsertToken :exec
INSERT INTO tokens (
    id, organization_id, kind, hash, user_id, runner_id, service_account_id, creator_principal, creator_id, description,
    read_only, created_at, expires_at, last_used_at, used_at, grants_for
) VALUES (
    @id, @organization_id, @kind, @hash, @user_id, @runner_id, @service_account_id, @creator_principal, @creator_id, @description,
    @read_only, @created_at, @expires_at, @last_used_at, @used_at, @grants_for
);

-- GetCredential is asked for with every call to the API.
-- name: GetCredential :one
SELECT
    sqlc.embed(t), COALESCE(u.role, 0) AS role, COALESCE(u.status, 0) AS status,
    COALESCE(a.suspended_at, 0) AS suspended_at, COALESCE(a.valid_until, 0) AS valid_until,
    COALESCE(m.status, 0) AS creator_status, COALESCE(b.suspended_at, 0) AS creator_suspended_at
FROM tokens t
LEFT JOIN users u ON u.id = t.user_id
LEFT JOIN service_accounts a ON a.id = t.service_account_id
LEFT JOIN users m ON m.id = t.creator_id
LEFT JOIN service_accounts b ON b.id = t.creator_id
WHERE t.hash = @hash
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- name: GetExchangeToken :one
SELECT t.* FROM tokens t WHERE t.hash = @hash AND t.kind = 'exchange'
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- name: GetPersonalToken :one
SELECT t.* FROM tokens t WHERE t.organization_id = @organization_id AND t.id = @id AND t.kind = 'pat'
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- name: ListPersonalTokens :many
SELECT t.* FROM tokens t
WHERE t.organization_id = @organization_id AND t.kind = 'pat'
  AND (t.created_at, t.id) < (@before_at, CAST(@before_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
ORDER BY t.created_at DESC, t.id DESC
LIMIT @max_rows;

-- name: ListPersonalTokensOfUser :many
SELECT t.* FROM tokens t
WHERE t.organization_id = @organization_id AND t.user_id = @user_id AND t.kind = 'pat'
  AND (t.created_at, t.id) < (@before_at, CAST(@before_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
ORDER BY t.created_at DESC, t.id DESC
LIMIT @max_rows;

-- name: UseExchangeToken :one
UPDATE tokens SET used_at = @now
WHERE hash = @hash AND kind = 'exchange' AND used_at = 0 AND (expires_at = 0 OR expires_at > @now)
RETURNING *;

-- name: TouchToken :exec
UPDATE tokens SET last_used_at = @at WHERE id = @id AND last_used_at < @at;

-- name: DeleteToken :execrows
DELETE FROM tokens WHERE id = @id;

-- name: GetServiceAccountToken :one
SELECT t.* FROM tokens t WHERE t.organization_id = @organization_id AND t.id = @id AND t.kind = 'sa'
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- name: ListServiceAccountTokens :many
SELECT t.* FROM tokens t
WHERE t.organization_id = @organization_id AND t.kind = 'sa'
  AND (t.created_at, t.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
ORDER BY t.created_at, t.id
LIMIT @max_rows;

-- name: ListTokensOfServiceAccount :many
SELECT t.* FROM tokens t
WHERE t.service_account_id = @service_account_id AND t.kind = 'sa'
  AND (t.created_at, t.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
ORDER BY t.created_at, t.id
LIMIT @max_rows;

-- What is counted below are the tokens that work.

-- name: CountLiveTokensOfUser :one
SELECT COUNT(*) FROM tokens t WHERE t.user_id = @user_id AND t.kind = 'pat' AND (t.expires_at = 0 OR t.expires_at > @now);

-- name: CountLiveTokensOfServiceAccount :one
SELECT COUNT(*) FROM tokens t
WHERE t.service_account_id = @service_account_id AND t.kind = 'sa' AND (t.expires_at = 0 OR t.expires_at > @now);

-- name: CountLiveExchangeTokens :one
SELECT COUNT(*) FROM tokens t
WHERE t.runner_id = @runner_id AND t.kind = 'exchange' AND t.used_at = 0 AND (t.expires_at = 0 OR t.expires_at > @now);
