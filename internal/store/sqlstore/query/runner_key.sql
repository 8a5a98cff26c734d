-- GetLoggedKey returns the signing key that was last logged with a public key,
-- empty when none was.
-- name: GetLoggedKey :one
SELECT signing_key FROM runner_keys
WHERE runner_id = @runner_id AND public_key = @public_key
ORDER BY length(signing_key) DESC, sequence DESC
LIMIT 1;

-- CountRunnerKeyUses has the numbers of fleet.KeyOperation after which a key is
-- in use.
-- name: CountRunnerKeyUses :one
SELECT COUNT(*) FROM runner_keys
WHERE runner_id = @runner_id AND public_key = @public_key AND operation IN (1, 2, 4);

-- name: ListRunnerKeyTimes :many
SELECT created_at FROM runner_keys
WHERE runner_id = @runner_id AND operation = @operation
ORDER BY sequence DESC
LIMIT @max_rows;

-- name: ListRunnerKeys :many
SELECT * FROM runner_keys WHERE runner_id = @runner_id ORDER BY sequence DESC LIMIT @max_rows;

-- AppendRunnerKey takes the next sequence of the runner, whose row is locked.
-- name: AppendRunnerKey :exec
INSERT INTO runner_keys (runner_id, sequence, operation, public_key, signing_key, actor_principal, actor_id, created_at)
VALUES (
    @runner_id, (SELECT COALESCE(MAX(k.sequence), 0) + 1 FROM runner_keys k WHERE k.runner_id = @runner_id),
    @operation, @public_key, @signing_key, @actor_principal, @actor_id, @created_at
);
