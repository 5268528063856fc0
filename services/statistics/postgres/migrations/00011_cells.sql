-- +goose Up

-- The digest of the secret that keys of cells are made with, so that none takes its place by mistake. The secret itself is in a file.
CREATE TABLE cell_secret (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    sha256 bytea   NOT NULL CHECK (octet_length(sha256) = 32)
);
