-- ListTokensOfRunner returns the access tokens of a runner and its exchange
-- tokens that were not redeemed, newest first.
-- name: ListTokensOfRunner :many
SELECT * FROM tokens
WHERE runner_id = @runner_id AND used_at = 0
ORDER BY created_at DESC, id DESC;

-- name: GetTokenOfRunner :one
SELECT * FROM tokens WHERE id = @id AND runner_id = @runner_id AND used_at = 0;

-- ExpireToken never makes a token live longer.
-- name: ExpireToken :execrows
UPDATE tokens SET expires_at = @expires_at WHERE id = @id AND (expires_at = 0 OR expires_at >= @expires_at);

-- DeleteRotatedTokens deletes the access tokens of a runner that are older than
-- one that came of a rotation; none when that one did not.
-- name: DeleteRotatedTokens :many
DELETE FROM tokens AS o
WHERE o.runner_id = @runner_id AND o.kind = 'runner' AND o.created_at < (
    SELECT n.created_at FROM tokens n
    WHERE n.id = @id AND n.runner_id = o.runner_id AND n.kind = 'runner' AND n.description = CAST(@rotation AS TEXT)
)
RETURNING *;
