-- Source code hosts through the runner: which runners have an integration with a
-- host.

-- +goose Up

CREATE INDEX scm_integrations_by_host ON scm_integrations (organization_id, host_lower, created_at, id);
