-- name: GetConfirmedTime :one
SELECT * FROM confirmed_time WHERE id = 1;

-- name: InsertConfirmedTime :execrows
INSERT INTO confirmed_time (id, confirmed_at, ahead, watched, doubted, alarmed, revision)
VALUES (1, @confirmed_at, @ahead, @watched, @doubted, @alarmed, 1)
ON CONFLICT (id) DO NOTHING;

-- name: UpdateConfirmedTime :execrows
UPDATE confirmed_time SET
    confirmed_at = @confirmed_at, ahead = @ahead, watched = @watched, doubted = @doubted, alarmed = @alarmed, revision = revision + 1
WHERE id = 1 AND revision = @revision;

-- name: GetNewestAuditTime :one
SELECT CAST(COALESCE(MAX(created_at), 0) AS BIGINT) FROM audit_entries;

-- name: PutDoubtedTime :exec
INSERT INTO doubted_times (began_at, ended_at) VALUES (@began_at, @ended_at)
ON CONFLICT (began_at) DO UPDATE SET ended_at = excluded.ended_at;

-- name: DeleteDoubtedTimes :exec
DELETE FROM doubted_times;

-- name: ListTokensOfDoubt :many
SELECT * FROM tokens
WHERE EXISTS (SELECT 1 FROM doubted_times d WHERE tokens.created_at BETWEEN d.began_at AND d.ended_at)
ORDER BY created_at, id
LIMIT @max_rows;

-- A key that was taken out of use then verifies for as long as the wrong time
-- says.
-- name: ListSigningKeysOfDoubt :many
SELECT * FROM signing_keys
WHERE EXISTS (
    SELECT 1 FROM doubted_times d
    WHERE signing_keys.created_at BETWEEN d.began_at AND d.ended_at OR signing_keys.retired_at BETWEEN d.began_at AND d.ended_at
)
ORDER BY created_at, id;
