-- name: InsertReplica :exec
INSERT INTO replicas (id, host_name, beat, taken_over_by, started_at, lock_key)
VALUES (@id, @host_name, @beat, @taken_over_by, @started_at, @lock_key);

-- LockRegistration changes nothing. The row that it writes stays locked until the
-- transaction ends.
-- name: LockRegistration :exec
UPDATE installation SET installation_id = installation_id WHERE one = 1;

-- name: LeaveReplica :exec
UPDATE replicas SET taken_over_by = id WHERE id = @id AND taken_over_by = '';

-- name: ListReplicas :many
SELECT * FROM replicas ORDER BY started_at, id;

-- name: GetLockKey :one
SELECT lock_key FROM replicas WHERE id = @id;

-- name: Beat :execrows
UPDATE replicas SET beat = beat + 1 WHERE id = @id AND taken_over_by = '';

-- name: TakeOver :execrows
UPDATE replicas SET taken_over_by = @heir, beat = beat + 1 WHERE id = @dead AND beat = @beat;

-- name: DeleteReplica :exec
DELETE FROM replicas
WHERE replicas.id = @id
  AND NOT EXISTS (
    SELECT 1 FROM sessions WHERE sessions.replica_id = @id AND sessions.ended_at = 0
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = sessions.runner_id) <> 1
  );
