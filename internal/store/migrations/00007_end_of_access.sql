-- The token that a session was opened with, and when it ends, so that the end of
-- a runner's right to connect is known when it comes, and told of before.

-- +goose Up

-- Empty for a session from before this version, and once the end was told.
ALTER TABLE sessions ADD COLUMN token_id TEXT NOT NULL DEFAULT '';
-- 0 when the token does not end by itself.
ALTER TABLE sessions ADD COLUMN token_expires_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX sessions_by_token_end ON sessions (token_expires_at, runner_id) WHERE token_expires_at > 0;

-- A runner with its newest session and the roles that groups have on it, as
-- "GROUP:ROLE,GROUP:ROLE".
DROP VIEW runner_rows;
CREATE VIEW runner_rows AS
SELECT
    r.id, r.organization_id, r.name, r.kind, r.provider, r.manager_id, r.creator_principal, r.creator_id,
    r.variant, r.desired_phase, r.configuration, r.configuration_revision, r.public_key, r.pending_key, r.epoch,
    r.report, r.config_schema, r.status_at, r.created_at, r.updated_at, r.deleting_at, r.revision,
    COALESCE(s.epoch, 0) AS session_epoch,
    COALESCE(s.replica_id, '') AS session_replica_id,
    COALESCE(s.boot_id, '') AS session_boot_id,
    COALESCE(s.host_name, '') AS session_host_name,
    COALESCE(s.opened_at, 0) AS session_opened_at,
    COALESCE(s.ended_at, 0) AS session_ended_at,
    COALESCE(s.end_reason, '') AS session_end_reason,
    COALESCE(s.notice, '') AS session_notice,
    COALESCE(s.applied_revision, 0) AS session_applied_revision,
    COALESCE(s.unsupported, '') AS session_unsupported,
    COALESCE(s.apply_error, '') AS session_apply_error,
    COALESCE(s.token_id, '') AS session_token_id,
    COALESCE(s.token_expires_at, 0) AS session_token_expires_at,
    CAST(COALESCE((
        SELECT string_agg(a.group_id || ':' || CAST(a.resource_role AS TEXT), ',')
        FROM role_assignments a
        WHERE a.runner_id = r.id AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
    ), '') AS TEXT) AS grants
FROM runners r
LEFT JOIN sessions s ON s.runner_id = r.id
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = r.id) <> 1;
