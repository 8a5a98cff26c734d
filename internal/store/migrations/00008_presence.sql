-- By what others find out that the process of a replica is gone; see package lease.

-- +goose Up

-- The advisory lock that the process holds while it lives, on PostgreSQL; 0 for none.
ALTER TABLE replicas ADD COLUMN lock_key BIGINT NOT NULL DEFAULT 0;
