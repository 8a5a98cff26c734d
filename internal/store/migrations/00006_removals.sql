-- What is removed in steps. A row says that something is gone: everything that
-- hangs on it is hidden from all reads, and is deleted a few rows at a time until
-- nothing is left and the row itself goes.

-- +goose Up

CREATE TABLE removals (
    -- What is gone: a user, a service account, a group, a runner; or an id of its
    -- own, for the credentials for a host on a runner.
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    kind            INTEGER NOT NULL,
    object          TEXT    NOT NULL, -- JSON: as it was before, with who may see it
    actor_principal INTEGER NOT NULL,
    actor_id        TEXT    NOT NULL,
    request_id      TEXT    NOT NULL,
    removed_at      BIGINT  NOT NULL,
    -- Grows with every step, so that no two processes do the same one.
    step            BIGINT  NOT NULL,
    -- Of credentials for a host: where, and which of them (1 those that were
    -- obtained with OAuth, 2 the others). Empty for all else.
    host_runner     TEXT    NOT NULL,
    host_lower      TEXT    NOT NULL,
    sources         INTEGER NOT NULL,
    generation      BIGINT  NOT NULL
);
CREATE INDEX removals_by_age ON removals (removed_at, id);
CREATE INDEX removals_of_host ON removals (host_runner, host_lower);

-- A credential that is stored while older ones for its host are still being
-- removed is of a later generation than those.
ALTER TABLE host_tokens ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
DROP INDEX host_tokens_of_subject_on_host;
CREATE UNIQUE INDEX host_tokens_of_subject_on_host ON host_tokens (runner_id, host_lower, subject_id, generation);

-- The views are as before, without what is gone. (They ask for "<> 1", and not for
-- "= 0", which PostgreSQL would take for something that few rows pass.)

DROP VIEW membership_rows;
CREATE VIEW membership_rows AS
SELECT
    m.id, m.organization_id, m.group_id, m.subject_principal, m.subject_id, m.created_at,
    CAST(COALESCE(
        (SELECT u.name FROM users u WHERE u.id = m.subject_id),
        (SELECT s.name FROM service_accounts s WHERE s.id = m.subject_id), ''
    ) AS TEXT) AS name,
    CAST(COALESCE(
        (SELECT u.name_lower FROM users u WHERE u.id = m.subject_id),
        (SELECT s.name_lower FROM service_accounts s WHERE s.id = m.subject_id), ''
    ) AS TEXT) AS name_lower
FROM memberships m
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = m.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.subject_id) <> 1;

DROP VIEW runner_viewers;
CREATE VIEW runner_viewers AS
SELECT DISTINCT a.organization_id, a.group_id AS viewer_id, CAST(a.runner_id AS TEXT) AS runner_id
FROM role_assignments a
WHERE a.runner_id IS NOT NULL
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.runner_id) <> 1
UNION ALL
SELECT r.organization_id, r.creator_id, r.id FROM runners r
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = r.id) <> 1;

DROP VIEW group_rows;
CREATE VIEW group_rows AS
SELECT
    g.id, g.organization_id, g.name, g.description, g.direct_principal, g.direct_id, g.created_at, g.updated_at,
    g.revision, g.name_lower,
    CAST((
        SELECT COUNT(*) FROM memberships m
        WHERE m.group_id = g.id AND (SELECT COUNT(*) FROM removals d WHERE d.id = m.subject_id) <> 1
    ) AS INTEGER) AS member_count,
    CAST(COALESCE((
        SELECT string_agg(a.group_id || ':' || CAST(a.resource_role AS TEXT), ',')
        FROM role_assignments a
        WHERE a.resource_id = g.id AND a.resource_type = 12 AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
    ), '') AS TEXT) AS grants
FROM groups g
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = g.id) <> 1;

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
    CAST(COALESCE((
        SELECT string_agg(a.group_id || ':' || CAST(a.resource_role AS TEXT), ',')
        FROM role_assignments a
        WHERE a.runner_id = r.id AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
    ), '') AS TEXT) AS grants
FROM runners r
LEFT JOIN sessions s ON s.runner_id = r.id
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = r.id) <> 1;

DROP VIEW llm_integration_rows;
CREATE VIEW llm_integration_rows AS
SELECT
    i.id, i.organization_id, i.runner_id, i.models, i.endpoint, i.api_key, i.max_tokens, i.enabled, i.headers,
    i.created_at, i.updated_at, i.revision,
    r.public_key AS runner_key
FROM llm_integrations i
JOIN runners r ON r.id = i.runner_id
WHERE (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1;
