-- +goose Up

-- When the statistics were closed to changes, and when they were opened again: the newest row counts.
CREATE TABLE read_only (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    closed      boolean     NOT NULL,
    author      text        NOT NULL,
    reason      text        NOT NULL CHECK (reason <> ''),
    create_time timestamptz NOT NULL
);
