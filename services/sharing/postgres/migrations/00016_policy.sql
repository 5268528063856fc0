-- +goose Up

-- What decisions were made under, so that they can be made again.
CREATE TABLE policy_set (
    revision text  PRIMARY KEY,
    archive  bytea NOT NULL
);
ALTER TABLE policy_set ALTER archive SET STORAGE EXTERNAL; -- it is compressed
CREATE TABLE policy_data (
    sha256  text  PRIMARY KEY CHECK (sha256 = encode(sha256(content), 'hex')),
    content bytea NOT NULL -- JSON
);
