-- +goose Up

-- Each trust list that was in force, as the file held it, with its signatures. An older one never comes back.
CREATE TABLE trust_list (
    version     bigint      PRIMARY KEY CHECK (version > 0),
    envelope    bytea       NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
