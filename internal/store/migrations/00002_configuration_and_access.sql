-- The configuration plane and access control: service accounts, groups, role
-- assignments, what belongs to runners, the chained audit log, retention.

-- +goose Up

-- How many days to keep what; 0 keeps it.
ALTER TABLE organizations ADD COLUMN never_connected_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN offline_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN audit_days INTEGER NOT NULL DEFAULT 0;

-- Whose admins operate the installation: the organization of the first start.
ALTER TABLE organizations ADD COLUMN operates BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE organizations SET operates = TRUE WHERE id = (SELECT o.id FROM organizations o ORDER BY o.created_at, o.id LIMIT 1);
CREATE UNIQUE INDEX organizations_operating ON organizations (operates) WHERE operates;

CREATE TABLE service_accounts (
    id                TEXT    NOT NULL PRIMARY KEY,
    organization_id   TEXT    NOT NULL REFERENCES organizations (id),
    name              TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    creator_principal INTEGER NOT NULL,
    creator_id        TEXT    NOT NULL,
    valid_until       BIGINT  NOT NULL,
    suspended_at      BIGINT  NOT NULL,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    revision          BIGINT  NOT NULL,
    -- What searches compare: the name in lower case.
    name_lower        TEXT    NOT NULL
);
CREATE INDEX service_accounts_by_age ON service_accounts (organization_id, created_at, id);
CREATE INDEX service_accounts_in_use ON service_accounts (organization_id, created_at, id) WHERE suspended_at = 0;

-- Tokens may now be those of service accounts, too. SQLite cannot change a CHECK
-- in place, so the table is made anew.
CREATE TABLE tokens_2 (
    id                 TEXT    NOT NULL PRIMARY KEY,
    organization_id    TEXT    NOT NULL REFERENCES organizations (id),
    kind               TEXT    NOT NULL,
    hash               BYTEA   NOT NULL UNIQUE,
    user_id            TEXT    REFERENCES users (id) ON DELETE CASCADE,
    runner_id          TEXT    REFERENCES runners (id) ON DELETE CASCADE,
    service_account_id TEXT    REFERENCES service_accounts (id) ON DELETE CASCADE,
    creator_principal  INTEGER NOT NULL,
    creator_id         TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    read_only          BOOLEAN NOT NULL,
    created_at         BIGINT  NOT NULL,
    expires_at         BIGINT  NOT NULL,
    last_used_at       BIGINT  NOT NULL,
    used_at            BIGINT  NOT NULL,
    -- How long the token lives that an exchange token is redeemed for, in
    -- microseconds; 0 for until it is revoked.
    grants_for         BIGINT  NOT NULL,
    CHECK (
        CASE WHEN user_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN runner_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN service_account_id IS NULL THEN 0 ELSE 1 END = 1
    )
);
INSERT INTO tokens_2 (
    id, organization_id, kind, hash, user_id, runner_id, service_account_id, creator_principal, creator_id, description,
    read_only, created_at, expires_at, last_used_at, used_at, grants_for
)
SELECT
    id, organization_id, kind, hash, user_id, runner_id, NULL, creator_principal, creator_id, description,
    read_only, created_at, expires_at, last_used_at, used_at, 0
FROM tokens;
DROP TABLE tokens;
ALTER TABLE tokens_2 RENAME TO tokens;
CREATE INDEX tokens_by_user ON tokens (user_id, organization_id, created_at, id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
CREATE INDEX tokens_by_service_account ON tokens (service_account_id, kind, created_at, id) WHERE service_account_id IS NOT NULL;
CREATE INDEX tokens_personal ON tokens (organization_id, created_at, id) WHERE kind = 'pat';
CREATE INDEX tokens_long ON tokens (organization_id, created_at, id) WHERE kind = 'sa';
CREATE INDEX tokens_by_expiry ON tokens (expires_at, id) WHERE expires_at > 0;

-- A group with a direct_id exists to share something with that one subject; its
-- name is made of that.
CREATE TABLE groups (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id),
    name             TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    direct_principal INTEGER NOT NULL,
    direct_id        TEXT    NOT NULL,
    created_at       BIGINT  NOT NULL,
    updated_at       BIGINT  NOT NULL,
    revision         BIGINT  NOT NULL,
    name_lower       TEXT    NOT NULL
);
CREATE UNIQUE INDEX groups_by_name ON groups (organization_id, name);
CREATE UNIQUE INDEX groups_by_direct ON groups (organization_id, direct_id) WHERE direct_id <> '';
CREATE INDEX groups_by_age ON groups (organization_id, created_at, id);

CREATE TABLE memberships (
    id                TEXT    NOT NULL PRIMARY KEY,
    organization_id   TEXT    NOT NULL REFERENCES organizations (id),
    group_id          TEXT    NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    subject_principal INTEGER NOT NULL,
    subject_id        TEXT    NOT NULL,
    created_at        BIGINT  NOT NULL
);
CREATE UNIQUE INDEX memberships_of_group ON memberships (group_id, subject_id);
CREATE INDEX memberships_by_age ON memberships (group_id, created_at, id);
CREATE INDEX memberships_of_subject ON memberships (subject_id, group_id);

-- A membership with the member's name.
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
FROM memberships m;

-- Which role a group has on a resource. A runner policy is such a row with one
-- of the roles 14 (RUNNER_ADMIN) and 17 (RUNNER_USER), of which a group has one
-- on a runner at most: both have the slot 14; every other role has its own
-- number as slot.
CREATE TABLE role_assignments (
    id                  TEXT    NOT NULL PRIMARY KEY,
    organization_id     TEXT    NOT NULL REFERENCES organizations (id),
    group_id            TEXT    NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    resource_type       INTEGER NOT NULL,
    resource_id         TEXT    NOT NULL,
    resource_role       INTEGER NOT NULL,
    slot                INTEGER NOT NULL,
    created_at          BIGINT  NOT NULL,
    revision            BIGINT  NOT NULL,
    -- The same as resource_id when that is a runner, so that the row goes with it.
    runner_id           TEXT    REFERENCES runners (id) ON DELETE CASCADE,
    -- When that runner was created, so that the runners of a group can be listed
    -- in their order without sorting them.
    runner_created_at   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX role_assignments_by_slot ON role_assignments (group_id, resource_type, resource_id, slot);
CREATE INDEX role_assignments_by_age ON role_assignments (organization_id, created_at, id);
CREATE INDEX role_assignments_by_role ON role_assignments (organization_id, resource_role, created_at, id);
CREATE INDEX role_assignments_of_group ON role_assignments (group_id, created_at, id);
CREATE INDEX role_assignments_of_resource ON role_assignments (resource_id, created_at, id);
CREATE INDEX role_assignments_of_runner ON role_assignments (runner_id) WHERE runner_id IS NOT NULL;
CREATE INDEX role_assignments_runners ON role_assignments (group_id, runner_created_at, runner_id) WHERE runner_id IS NOT NULL;

-- Who sees a runner, and what belongs to it, without seeing all of its
-- organization: the groups that have a role on it, and who made it.
CREATE VIEW runner_viewers AS
SELECT DISTINCT a.organization_id, a.group_id AS viewer_id, CAST(a.runner_id AS TEXT) AS runner_id
FROM role_assignments a WHERE a.runner_id IS NOT NULL
UNION ALL
SELECT r.organization_id, r.creator_id, r.id FROM runners r;

-- A group with the number of its members and the roles that groups have on it,
-- as "GROUP:ROLE,GROUP:ROLE".
CREATE VIEW group_rows AS
SELECT
    g.id, g.organization_id, g.name, g.description, g.direct_principal, g.direct_id, g.created_at, g.updated_at,
    g.revision, g.name_lower,
    CAST((SELECT COUNT(*) FROM memberships m WHERE m.group_id = g.id) AS INTEGER) AS member_count,
    CAST(COALESCE((
        SELECT string_agg(a.group_id || ':' || CAST(a.resource_role AS TEXT), ',')
        FROM role_assignments a WHERE a.resource_id = g.id AND a.resource_type = 12
    ), '') AS TEXT) AS grants
FROM groups g;

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
    CAST(COALESCE((
        SELECT string_agg(a.group_id || ':' || CAST(a.resource_role AS TEXT), ',')
        FROM role_assignments a WHERE a.runner_id = r.id
    ), '') AS TEXT) AS grants
FROM runners r
LEFT JOIN sessions s ON s.runner_id = r.id;

-- Every key that a runner ever came with, and what became of it. Rows are only
-- ever added; nothing in them changes but an empty signing key, which is filled
-- once.
CREATE TABLE runner_keys (
    runner_id       TEXT    NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    sequence        BIGINT  NOT NULL,
    operation       INTEGER NOT NULL,
    public_key      BYTEA   NOT NULL,
    signing_key     BYTEA   NOT NULL, -- empty when the runner has not proven that it is its own
    actor_principal INTEGER NOT NULL,
    actor_id        TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    PRIMARY KEY (runner_id, sequence)
);

CREATE TABLE environment_classes (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    runner_id       TEXT    NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    display_name    TEXT    NOT NULL,
    description     TEXT    NOT NULL,
    configuration   TEXT    NOT NULL, -- JSON
    enabled         BOOLEAN NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    revision        BIGINT  NOT NULL
);
CREATE INDEX environment_classes_by_age ON environment_classes (organization_id, created_at, id);
CREATE INDEX environment_classes_of_runner ON environment_classes (runner_id, created_at, id);

CREATE TABLE scm_integrations (
    id                  TEXT    NOT NULL PRIMARY KEY,
    organization_id     TEXT    NOT NULL REFERENCES organizations (id),
    runner_id           TEXT    NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    scm_id              TEXT    NOT NULL,
    host                TEXT    NOT NULL,
    pat                 BOOLEAN NOT NULL,
    oauth_client_id     TEXT    NOT NULL, -- empty without OAuth
    oauth_client_secret BYTEA   NOT NULL, -- sealed
    issuer_url          TEXT    NOT NULL,
    virtual_directory   TEXT    NOT NULL,
    created_at          BIGINT  NOT NULL,
    updated_at          BIGINT  NOT NULL,
    revision            BIGINT  NOT NULL,
    host_lower          TEXT    NOT NULL
);
CREATE UNIQUE INDEX scm_integrations_of_host ON scm_integrations (runner_id, host_lower);
CREATE INDEX scm_integrations_by_age ON scm_integrations (organization_id, created_at, id);
CREATE INDEX scm_integrations_of_runner ON scm_integrations (runner_id, created_at, id);

CREATE TABLE host_tokens (
    id                TEXT    NOT NULL PRIMARY KEY,
    organization_id   TEXT    NOT NULL REFERENCES organizations (id),
    runner_id         TEXT    NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    host              TEXT    NOT NULL,
    subject_principal INTEGER NOT NULL,
    subject_id        TEXT    NOT NULL,
    source            INTEGER NOT NULL,
    token             BYTEA   NOT NULL, -- sealed
    refresh_token     BYTEA   NOT NULL, -- sealed; empty for none
    integration_id    TEXT    NOT NULL,
    scopes            TEXT    NOT NULL, -- JSON
    expires_at        BIGINT  NOT NULL,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    revision          BIGINT  NOT NULL,
    host_lower        TEXT    NOT NULL
);
CREATE UNIQUE INDEX host_tokens_of_subject_on_host ON host_tokens (runner_id, host_lower, subject_id);
CREATE INDEX host_tokens_by_age ON host_tokens (organization_id, created_at, id);
CREATE INDEX host_tokens_of_runner ON host_tokens (runner_id, created_at, id);
CREATE INDEX host_tokens_of_subject ON host_tokens (subject_id, created_at, id);

CREATE TABLE llm_integrations (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    runner_id       TEXT    NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    models          TEXT    NOT NULL, -- JSON
    endpoint        TEXT    NOT NULL,
    api_key         BYTEA   NOT NULL, -- sealed
    max_tokens      BIGINT  NOT NULL,
    enabled         BOOLEAN NOT NULL,
    headers         TEXT    NOT NULL, -- JSON, values sealed
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    revision        BIGINT  NOT NULL
);
CREATE INDEX llm_integrations_by_age ON llm_integrations (organization_id, created_at, id);
CREATE INDEX llm_integrations_of_runner ON llm_integrations (runner_id, created_at, id);

-- An integration with the public key of its runner.
CREATE VIEW llm_integration_rows AS
SELECT
    i.id, i.organization_id, i.runner_id, i.models, i.endpoint, i.api_key, i.max_tokens, i.enabled, i.headers,
    i.created_at, i.updated_at, i.revision,
    r.public_key AS runner_key
FROM llm_integrations i
JOIN runners r ON r.id = i.runner_id;

-- The place of an entry in the chain of its organization; 0 until it has one.
ALTER TABLE audit_entries ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_entries ADD COLUMN hash BYTEA NOT NULL DEFAULT '';
CREATE UNIQUE INDEX audit_entries_by_sequence ON audit_entries (organization_id, sequence) WHERE sequence > 0;
CREATE INDEX audit_entries_unchained ON audit_entries (organization_id, created_at, id) WHERE sequence = 0;
-- Without the organization, which both ids imply: SQLite would otherwise take
-- audit_entries_by_age for lists between two times.
CREATE INDEX audit_entries_of_actor ON audit_entries (actor_id, created_at, id);
CREATE INDEX audit_entries_of_subject ON audit_entries (subject_id, created_at, id);

-- The end of each organization's chain, and the place up to which entries were
-- removed by age.
CREATE TABLE audit_chains (
    organization_id TEXT   NOT NULL PRIMARY KEY REFERENCES organizations (id),
    sequence        BIGINT NOT NULL,
    hash            BYTEA  NOT NULL,
    floor_sequence  BIGINT NOT NULL,
    floor_hash      BYTEA  NOT NULL
);

CREATE TABLE audit_checkpoints (
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    sequence        BIGINT  NOT NULL,
    hash            BYTEA   NOT NULL,
    -- Whether this says that the entries up to it were removed by age.
    floor           BOOLEAN NOT NULL,
    signed_at       BIGINT  NOT NULL,
    key_id          TEXT    NOT NULL,
    signature       BYTEA   NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);

-- Each purpose has keys of its own, one of them in use: logs tokens ('logs'),
-- audit checkpoints ('audit'), ID tokens ('id-token').
ALTER TABLE signing_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'logs';
DROP INDEX signing_keys_in_use;
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (purpose) WHERE retired_at = 0;

-- Nothing ever was in it.
DROP TABLE meta;
