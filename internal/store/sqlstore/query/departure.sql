-- name: DeleteMembershipsOfSubject :many
DELETE FROM memberships WHERE organization_id = @organization_id AND subject_id = @subject_id
RETURNING group_id;

-- name: DeleteHostTokensOfSubject :many
DELETE FROM host_tokens WHERE organization_id = @organization_id AND subject_id = @subject_id
RETURNING id, runner_id;
