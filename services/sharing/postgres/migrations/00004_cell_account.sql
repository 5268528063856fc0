-- +goose Up

-- What each caller was told of tables with noise, as the domain writes it: addresses of cells, which are hashes and do not
-- compress.
CREATE TABLE cell_account (
    caller      text        PRIMARY KEY,
    told        bytea       NOT NULL,
    update_time timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE cell_account ALTER COLUMN told SET STORAGE EXTERNAL;
