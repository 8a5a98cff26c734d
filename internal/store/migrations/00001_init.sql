-- The first schema. The same statements run on SQLite and on PostgreSQL:
--   * ids are TEXT (UUIDs in lower case),
--   * times are BIGINT microseconds since 1970, 0 for "not yet" or "never",
--   * enumerations are INTEGER with the numbers of the wire,
--   * JSON is TEXT, and nothing in SQL looks inside,
--   * an order that people see never rests on TEXT other than ids, because
--     PostgreSQL sorts text by the collation of its database.

-- +goose Up

CREATE TABLE organizations (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX organizations_by_age ON organizations (created_at, id);

CREATE TABLE users (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    name            TEXT    NOT NULL,
    email           TEXT    NOT NULL,
    role            INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    revision        BIGINT  NOT NULL,
    -- What searches and look-ups compare: name and email in lower case.
    name_lower      TEXT    NOT NULL,
    email_lower     TEXT    NOT NULL,
    -- The bytes of name_lower, which both engines sort alike.
    name_order      BYTEA   NOT NULL
);

-- Status 3 is "left": the address is free again.
CREATE UNIQUE INDEX users_by_email ON users (organization_id, email_lower) WHERE status <> 3;
CREATE INDEX users_by_joining ON users (organization_id, created_at, id);
CREATE INDEX users_by_name ON users (organization_id, name_order, id);

CREATE TABLE runners (
    id                     TEXT    NOT NULL PRIMARY KEY,
    organization_id        TEXT    NOT NULL REFERENCES organizations (id),
    name                   TEXT    NOT NULL,
    kind                   INTEGER NOT NULL,
    provider               INTEGER NOT NULL,
    manager_id             TEXT    NOT NULL,
    creator_principal      INTEGER NOT NULL,
    creator_id             TEXT    NOT NULL,
    variant                INTEGER NOT NULL,
    desired_phase          INTEGER NOT NULL,
    configuration          TEXT    NOT NULL, -- JSON
    configuration_revision BIGINT  NOT NULL,
    public_key             BYTEA   NOT NULL, -- empty before the first connection
    pending_key            BYTEA   NOT NULL, -- empty when none waits
    epoch                  BIGINT  NOT NULL, -- of the newest session
    report                 TEXT    NOT NULL, -- JSON
    config_schema          BYTEA   NOT NULL,
    status_at              BIGINT  NOT NULL,
    created_at             BIGINT  NOT NULL,
    updated_at             BIGINT  NOT NULL,
    deleting_at            BIGINT  NOT NULL,
    revision               BIGINT  NOT NULL
);

-- One index for each way to list, so that a page costs the same in a small
-- fleet and in a large one.
CREATE INDEX runners_by_age ON runners (organization_id, created_at, id);
CREATE INDEX runners_by_creator ON runners (organization_id, creator_id, created_at, id);
CREATE INDEX runners_by_provider ON runners (organization_id, provider, created_at, id);
CREATE INDEX runners_by_kind ON runners (organization_id, kind, created_at, id);
CREATE INDEX runners_deleting ON runners (deleting_at, id) WHERE deleting_at > 0;

-- The newest session of each runner.
CREATE TABLE sessions (
    runner_id        TEXT   NOT NULL PRIMARY KEY REFERENCES runners (id) ON DELETE CASCADE,
    replica_id       TEXT   NOT NULL,
    epoch            BIGINT NOT NULL,
    boot_id          TEXT   NOT NULL,
    host_name        TEXT   NOT NULL,
    opened_at        BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL,
    end_reason       TEXT   NOT NULL,
    notice           TEXT   NOT NULL,
    applied_revision BIGINT NOT NULL,
    unsupported      TEXT   NOT NULL, -- JSON
    apply_error      TEXT   NOT NULL
);

CREATE INDEX sessions_live ON sessions (replica_id, runner_id) WHERE ended_at = 0;

-- A runner with its newest session; session_epoch is 0 when there was none.
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
    COALESCE(s.apply_error, '') AS session_apply_error
FROM runners r
LEFT JOIN sessions s ON s.runner_id = r.id;

-- Bearer tokens of every kind, as hashes. A token has one subject: the user or
-- the runner that it authenticates, or the runner that it admits. The reference
-- makes it impossible that a token outlives its runner, even when one is made
-- while the other is deleted.
CREATE TABLE tokens (
    id                TEXT    NOT NULL PRIMARY KEY,
    organization_id   TEXT    NOT NULL REFERENCES organizations (id),
    kind              TEXT    NOT NULL,
    hash              BYTEA   NOT NULL UNIQUE,
    user_id           TEXT    REFERENCES users (id) ON DELETE CASCADE,
    runner_id         TEXT    REFERENCES runners (id) ON DELETE CASCADE,
    creator_principal INTEGER NOT NULL,
    creator_id        TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    read_only         BOOLEAN NOT NULL,
    created_at        BIGINT  NOT NULL,
    expires_at        BIGINT  NOT NULL,
    last_used_at      BIGINT  NOT NULL,
    used_at           BIGINT  NOT NULL,
    CHECK ((user_id IS NULL) <> (runner_id IS NULL))
);

CREATE INDEX tokens_by_user ON tokens (user_id, organization_id, created_at, id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
CREATE INDEX tokens_personal ON tokens (organization_id, created_at, id) WHERE kind = 'pat';

-- The control plane processes; see package lease.
CREATE TABLE replicas (
    id            TEXT   NOT NULL PRIMARY KEY,
    host_name     TEXT   NOT NULL,
    beat          BIGINT NOT NULL,
    taken_over_by TEXT   NOT NULL,
    started_at    BIGINT NOT NULL
);

-- Who changed what. Rows are only ever added, and refer to nothing, so that
-- they outlive what they tell of.
CREATE TABLE audit_entries (
    id              TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL,
    actor_principal INTEGER NOT NULL,
    actor_id        TEXT    NOT NULL,
    subject_id      TEXT    NOT NULL,
    subject_type    INTEGER NOT NULL,
    action          TEXT    NOT NULL,
    kind            INTEGER NOT NULL,
    request_id      TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL
);

CREATE INDEX audit_entries_by_age ON audit_entries (organization_id, created_at, id);

-- The keys that sign logs tokens. The private half is encrypted under the
-- secret-key file.
CREATE TABLE signing_keys (
    id          TEXT   NOT NULL PRIMARY KEY,
    wrapped     BYTEA  NOT NULL,
    public_key  BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL,
    retired_at  BIGINT NOT NULL
);

-- At most one key is in use, also when several replicas start at once.
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (retired_at) WHERE retired_at = 0;

-- Single values that are set once, such as the name under which this
-- installation signs.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
