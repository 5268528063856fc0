-- +goose Up

-- What record keys and the digests of batches are made with: one secret for the database.
CREATE TABLE event_secret (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret bytea   NOT NULL CHECK (octet_length(secret) = 32)
);

-- Batches of events that were counted. Of their records, no more than this is kept.
CREATE TABLE event_batch (
    part         int         NOT NULL,
    id           text        COLLATE "C" NOT NULL CHECK (char_length(id) BETWEEN 1 AND 128),
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    records      int         NOT NULL CHECK (records >= 1),
    cells        int         NOT NULL CHECK (cells >= 0),
    sign         smallint    NOT NULL CHECK (sign IN (-1, 1)),
    retracts     text        COLLATE "C" CHECK ((retracts IS NULL) = (sign = 1)),
    retracted_by text        COLLATE "C",
    counted_at   timestamptz NOT NULL,
    PRIMARY KEY (part, id)
);

-- How many records each cell counts, and the sum of their record keys modulo 2^32. key is the codes with U+001F between
-- them. closed_count and closed_key are what the last closing wrote; open: the cell may have changed since. No CHECK holds
-- count at 0: it would refuse what a retraction adds before it is added. The transaction that counts sees to it.
CREATE TABLE event_counter (
    part         int     NOT NULL,
    key          text    COLLATE "C" NOT NULL,
    period       int     NOT NULL,
    count        bigint  NOT NULL,
    record_key   bigint  NOT NULL CHECK (record_key BETWEEN 0 AND 4294967295),
    closed_count bigint  CHECK (closed_count >= 0),
    closed_key   bigint  CHECK (closed_key BETWEEN 0 AND 4294967295),
    open         boolean NOT NULL DEFAULT true,
    PRIMARY KEY (part, key, period),
    CHECK ((closed_count IS NULL) = (closed_key IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX event_counter_open ON event_counter (part) WHERE open;

-- What was closed, and the submission that it is. A rejected one closed no cell.
CREATE TABLE event_closing (
    part       int         NOT NULL,
    number     bigint      NOT NULL CHECK (number >= 1),
    cells      int         NOT NULL CHECK (cells >= 0),
    submission uuid        NOT NULL,
    revision   bigint      NOT NULL CHECK (revision >= 0),
    closed_at  timestamptz NOT NULL,
    PRIMARY KEY (part, number)
);
