-- +goose Up

-- How long figures are kept; dataflow '' is all, provider '' all partners.
CREATE TABLE retention (
    dataflow         text        NOT NULL,
    provider         text        NOT NULL,
    after_received   text        NOT NULL,
    after_period     text        NOT NULL,
    after_superseded text        NOT NULL,
    author           text        NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (dataflow, provider)
);

-- Of revisions whose figures came under terms that limit their time: the limit.
CREATE TABLE terms (
    part      int    NOT NULL,
    rev       bigint NOT NULL CHECK (rev >= 1),
    keep_days int    NOT NULL CHECK (keep_days >= 1),
    PRIMARY KEY (part, rev)
);

-- What was removed, an entry for each part and time that there was something to remove. It grows with each chunk, in the
-- transaction that removes it; rev is the last revision of the part that it made, 0 where only history is gone.
CREATE TABLE removal (
    part       int         NOT NULL,
    id         uuid        NOT NULL,
    dataflow   text        NOT NULL,
    provider   text        NOT NULL,
    rule       jsonb,
    figures    bigint      NOT NULL CHECK (figures >= 0),
    superseded bigint      NOT NULL CHECK (superseded >= 0),
    by_terms   bigint      NOT NULL CHECK (by_terms BETWEEN 0 AND figures + superseded),
    series     bigint      NOT NULL CHECK (series >= 0),
    first_day  date        NOT NULL,
    last_day   date        NOT NULL,
    chunks     int         NOT NULL CHECK (chunks >= 1),
    rev        bigint      NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    CHECK (figures + superseded > 0),
    CHECK (first_day <= last_day),
    PRIMARY KEY (part, id)
);
CREATE INDEX removal_id ON removal (id);
