-- Which installation the database belongs to; see package installation.

-- +goose Up

CREATE TABLE installation (
    one             INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), -- there is one row
    installation_id TEXT    NOT NULL
);
