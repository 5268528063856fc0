-- +goose Up

-- What an officer let a submission pass.
ALTER TABLE submission ADD COLUMN overrides jsonb NOT NULL DEFAULT '[]';

-- The quality rules of dataflows, all that ever were: the newest version counts.
CREATE TABLE quality_rules (
    dataflow   text        NOT NULL,
    version    int         NOT NULL CHECK (version >= 1),
    content    jsonb       NOT NULL,
    author     text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (dataflow, version)
);

-- Overrides, by the content that they are for. One that is used is used up.
CREATE TABLE override (
    dataflow   text        NOT NULL,
    provider   text        NOT NULL,
    digest     bytea       NOT NULL CHECK (octet_length(digest) = 32),
    ordinal    int         NOT NULL CHECK (ordinal >= 1),
    content    jsonb       NOT NULL,
    used_by    uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (dataflow, provider, digest, ordinal)
);

-- The margins of parts, as of revision rev: counts and sums by period and code, which new figures are judged by. Those of
-- another revision than the newest are of no use.
CREATE TABLE margin (
    part    int    PRIMARY KEY,
    rev     bigint NOT NULL CHECK (rev >= 1),
    content bytea  NOT NULL
);
