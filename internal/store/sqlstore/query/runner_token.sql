-- ListTokensOfRunner returns the access tokens of a runner and its exchange
-- tokens that were not redeemed, newest first.
-- name: ListTokensOfRunner :many
SELECT t.* FROM tokens t
WHERE t.runner_id = @runner_id AND t.used_at = 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
ORDER BY t.created_at DESC, t.id DESC;

-- name: GetTokenOfRunner :one
SELECT t.* FROM tokens t WHERE t.id = @id AND t.runner_id = @runner_id AND t.used_at = 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- ExpireToken never makes a token live longer.
-- name: ExpireToken :execrows
UPDATE tokens SET expires_at = @expires_at WHERE id = @id AND (expires_at = 0 OR expires_at >= @expires_at);

-- name: TakeToken :execrows
UPDATE tokens SET description = @description, expires_at = @expires_at, grants_for = @grants_for WHERE id = @id;

-- DeleteRotatedTokens deletes access tokens of a runner that are older than one
-- that came of a rotation; none when that one did not.
-- name: DeleteRotatedTokens :many
DELETE FROM tokens WHERE id IN (
    SELECT o.id FROM tokens o
    WHERE o.runner_id = @runner_id AND o.kind = 'runner' AND o.created_at < (
        SELECT n.created_at FROM tokens n
        WHERE n.id = @id AND n.runner_id = o.runner_id AND n.kind = 'runner' AND n.description = CAST(@rotation AS TEXT)
    )
    LIMIT @max_rows
)
RETURNING *;
