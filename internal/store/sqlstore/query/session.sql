-- name: NextEpoch :one
UPDATE runners SET epoch = epoch + 1 WHERE id = @id RETURNING epoch;

-- name: PutSession :exec
INSERT INTO sessions (
    runner_id, replica_id, epoch, boot_id, host_name, opened_at, ended_at, end_reason, notice, applied_revision,
    unsupported, apply_error, token_id, token_expires_at
) VALUES (
    @runner_id, @replica_id, @epoch, @boot_id, @host_name, @opened_at, @ended_at, @end_reason, @notice, @applied_revision,
    @unsupported, @apply_error, @token_id, @token_expires_at
)
ON CONFLICT (runner_id) DO UPDATE SET
    replica_id = excluded.replica_id, epoch = excluded.epoch, boot_id = excluded.boot_id,
    host_name = excluded.host_name, opened_at = excluded.opened_at, ended_at = excluded.ended_at,
    end_reason = excluded.end_reason, notice = excluded.notice, applied_revision = excluded.applied_revision,
    unsupported = excluded.unsupported, apply_error = excluded.apply_error,
    token_id = excluded.token_id, token_expires_at = excluded.token_expires_at;

-- name: EndSession :execrows
UPDATE sessions SET ended_at = @ended_at, end_reason = @end_reason
WHERE runner_id = @runner_id AND epoch = @epoch AND ended_at = 0;

-- name: UpdateSession :execrows
UPDATE sessions SET
    notice = @notice, applied_revision = @applied_revision, unsupported = @unsupported, apply_error = @apply_error
WHERE runner_id = @runner_id AND epoch = @epoch AND ended_at = 0;

-- name: ListLiveSessionsOfReplica :many
SELECT s.runner_id FROM sessions s WHERE s.replica_id = @replica_id AND s.ended_at = 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = s.runner_id) <> 1
ORDER BY s.runner_id LIMIT @max_rows;

-- EndAccess says of a session that the token of it has ended. One that lives
-- ends; of one that has ended, the reason changes.
-- name: EndAccess :execrows
UPDATE sessions SET
    ended_at = CASE WHEN ended_at = 0 THEN CAST(@ended_at AS BIGINT) ELSE ended_at END,
    end_reason = @end_reason, token_id = '', token_expires_at = 0
WHERE runner_id = @runner_id AND epoch = @epoch;

-- name: SetAccessEnd :execrows
UPDATE sessions SET token_expires_at = @token_expires_at
WHERE runner_id = @runner_id AND token_id = @token_id;

-- name: ListAccessEnding :many
SELECT s.runner_id FROM sessions s
WHERE s.token_expires_at > 0
  AND s.token_expires_at > CAST(@after_at AS BIGINT) AND s.token_expires_at <= CAST(@until AS BIGINT)
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = s.runner_id) <> 1
ORDER BY s.token_expires_at, s.runner_id
LIMIT @max_rows;

-- name: CountAccessEnding :one
SELECT COUNT(*) FROM sessions s
WHERE s.token_expires_at > 0 AND s.token_expires_at <= CAST(@until AS BIGINT)
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = s.runner_id) <> 1;
