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
    COALESCE(a.suspended_at, 0) AS suspended_at, COALESCE(a.valid_until, 0) AS valid_until
FROM tokens t
LEFT JOIN users u ON u.id = t.user_id
LEFT JOIN service_accounts a ON a.id = t.service_account_id
WHERE t.hash = @hash;

-- name: GetExchangeToken :one
SELECT * FROM tokens WHERE hash = @hash AND kind = 'exchange';

-- name: GetPersonalToken :one
SELECT * FROM tokens WHERE organization_id = @organization_id AND id = @id AND kind = 'pat';

-- name: ListPersonalTokens :many
SELECT * FROM tokens
WHERE organization_id = @organization_id AND kind = 'pat'
  AND (created_at, id) < (@before_at, CAST(@before_id AS TEXT))
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: ListPersonalTokensOfUser :many
SELECT * FROM tokens
WHERE organization_id = @organization_id AND user_id = @user_id AND kind = 'pat'
  AND (created_at, id) < (@before_at, CAST(@before_id AS TEXT))
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: UseExchangeToken :one
UPDATE tokens SET used_at = @now
WHERE hash = @hash AND kind = 'exchange' AND used_at = 0 AND (expires_at = 0 OR expires_at > @now)
RETURNING *;

-- name: TouchToken :exec
UPDATE tokens SET last_used_at = @at WHERE id = @id AND last_used_at < @at;

-- name: DeleteToken :execrows
DELETE FROM tokens WHERE id = @id;

-- name: DeleteTokensOfUser :many
DELETE FROM tokens WHERE user_id = @user_id RETURNING *;

-- name: DeleteTokensOfRunner :many
DELETE FROM tokens WHERE runner_id = @runner_id RETURNING *;

-- name: DeleteTokensOfServiceAccount :many
DELETE FROM tokens WHERE service_account_id = @service_account_id RETURNING *;

-- name: GetServiceAccountToken :one
SELECT * FROM tokens WHERE organization_id = @organization_id AND id = @id AND kind = 'sa';

-- name: ListServiceAccountTokens :many
SELECT * FROM tokens
WHERE organization_id = @organization_id AND kind = 'sa'
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListTokensOfServiceAccount :many
SELECT * FROM tokens
WHERE service_account_id = @service_account_id AND kind = 'sa'
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
ORDER BY created_at, id
LIMIT @max_rows;
