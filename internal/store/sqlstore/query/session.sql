-- name: NextEpoch :one
UPDATE runners SET epoch = epoch + 1 WHERE id = @id RETURNING epoch;

-- name: PutSession :exec
INSERT INTO sessions (
    runner_id, replica_id, epoch, boot_id, host_name, opened_at, ended_at, end_reason, notice, applied_revision,
    unsupported, apply_error
) VALUES (
    @runner_id, @replica_id, @epoch, @boot_id, @host_name, @opened_at, @ended_at, @end_reason, @notice, @applied_revision,
    @unsupported, @apply_error
)
ON CONFLICT (runner_id) DO UPDATE SET
    replica_id = excluded.replica_id, epoch = excluded.epoch, boot_id = excluded.boot_id,
    host_name = excluded.host_name, opened_at = excluded.opened_at, ended_at = excluded.ended_at,
    end_reason = excluded.end_reason, notice = excluded.notice, applied_revision = excluded.applied_revision,
    unsupported = excluded.unsupported, apply_error = excluded.apply_error;

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
