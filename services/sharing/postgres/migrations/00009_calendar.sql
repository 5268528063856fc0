-- +goose Up

-- What was taken back, and when: a publication that waits then waits no more.
ALTER TABLE publication ADD COLUMN withdraw_time timestamptz;

-- What is announced to everybody.
CREATE TABLE announcement (
    id           uuid        PRIMARY KEY,
    release_time timestamptz NOT NULL CHECK (date_trunc('minute', release_time, 'UTC') = release_time),
    document     bytea       NOT NULL, -- JSON, as logged
    entry        bigint      NOT NULL UNIQUE REFERENCES log_entry,
    state        smallint    NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 4), -- to come, published, refused, cancelled
    problem      text        NOT NULL DEFAULT '', -- why it was refused
    publication  uuid        REFERENCES publication, -- that came of it
    CHECK ((state = 2) = (publication IS NOT NULL)),
    CHECK (state <> 3 OR problem <> '')
);
CREATE INDEX announcement_open ON announcement (release_time, entry) WHERE state = 1;

-- What everybody is told about publications.
CREATE TABLE notice (
    id          uuid   PRIMARY KEY,
    dataflow    text   NOT NULL,
    replacement uuid   REFERENCES publication, -- it is told once the statistics have this
    document    bytea  NOT NULL, -- JSON, as logged
    entry       bigint NOT NULL UNIQUE REFERENCES log_entry
);
CREATE INDEX notice_of_dataflow ON notice (dataflow, entry DESC);
