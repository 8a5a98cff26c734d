-- The confirmed time, by which things are removed by age; see package confirmed.

-- +goose Up

CREATE TABLE confirmed_time (
    id           INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- there is one row
    confirmed_at BIGINT  NOT NULL,
    -- How far the wall clock is ahead, as watched for so much running time; both
    -- in microseconds.
    ahead        BIGINT  NOT NULL,
    watched      BIGINT  NOT NULL,
    doubted      BOOLEAN NOT NULL,
    alarmed      BOOLEAN NOT NULL,
    revision     BIGINT  NOT NULL
);

-- What wall clocks showed while they were far from the confirmed time: whatever
-- was made then has such times.
CREATE TABLE doubted_times (
    began_at BIGINT NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL
);
