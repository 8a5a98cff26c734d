-- name: ListSomeRunnersOfCreator :many
SELECT id FROM runners
WHERE organization_id = @organization_id AND creator_id = @creator_id
ORDER BY created_at, id
LIMIT @max_rows;

-- ListSomeRunnersOfGroup has a runner once for each role of the group on it.
-- name: ListSomeRunnersOfGroup :many
SELECT CAST(runner_id AS TEXT) AS id FROM role_assignments
WHERE group_id = @group_id AND runner_id IS NOT NULL
ORDER BY runner_created_at, runner_id
LIMIT @max_rows;
