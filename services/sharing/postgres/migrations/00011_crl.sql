-- +goose Up

-- The latest revocation list that was seen of each authority of each state. An older one never comes back.
CREATE TABLE crl (
    state       text        NOT NULL,
    authority   text        NOT NULL CHECK (authority ~ '^[0-9a-f]{64}$'), -- SHA-256 of its SubjectPublicKeyInfo
    number      numeric     NOT NULL CHECK (number >= 0),
    der         bytea       NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (state, authority)
);
