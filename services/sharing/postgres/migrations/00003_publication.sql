-- +goose Up

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind BETWEEN 1 AND 9);

-- What was published. The figures are in the statistics once the state is 2.
CREATE TABLE publication (
    id          uuid        PRIMARY KEY,
    dataflow    text        NOT NULL,
    document    bytea       NOT NULL, -- JSON, as logged
    entry       bigint      NOT NULL UNIQUE REFERENCES log_entry,
    state       smallint    NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 3), -- waiting, published, refused
    problem     text        NOT NULL DEFAULT '', -- why the statistics refused it
    update_time timestamptz, -- when it came to its state
    CHECK ((state = 1) = (update_time IS NULL)),
    CHECK ((state = 3) = (problem <> ''))
);
CREATE INDEX publication_of_dataflow ON publication (dataflow, entry DESC);
CREATE INDEX publication_waiting ON publication (entry) WHERE state = 1;
CREATE TABLE publication_batch (
    publication uuid  NOT NULL REFERENCES publication,
    batch       int   NOT NULL CHECK (batch >= 0),
    payload     bytea NOT NULL,
    PRIMARY KEY (publication, batch)
);
