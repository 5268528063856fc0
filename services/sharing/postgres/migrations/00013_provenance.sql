-- +goose Up

-- What receivers took out of their statistics once no agreement covered it any more, as they have signed it: this state's
-- own, and what partners say.
CREATE TABLE withdrawal (
    agreement text    NOT NULL,
    version   int     NOT NULL,
    state     text    NOT NULL,
    id        uuid    PRIMARY KEY,
    signed    bytea   NOT NULL,
    delivered boolean NOT NULL DEFAULT false, -- of our own: the provider has it, or does not take it
    entry     bigint  NOT NULL UNIQUE REFERENCES log_entry,
    FOREIGN KEY (agreement, version) REFERENCES agreement (id, version)
);
CREATE INDEX withdrawal_of ON withdrawal (agreement, version);

-- Every checkpoint that was shown in a session with a partner: of our log with its co-signature, and of its own log.
CREATE TABLE seen_checkpoint (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log         text        NOT NULL, -- whose
    partner     text        NOT NULL,
    size        bigint      NOT NULL CHECK (size >= 1),
    note        text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (log, partner, size, note)
);

-- What was removed from received envelopes since the agreement lets it stay no longer. An envelope names the removal first; its
-- figures go once the log has the removal in its place.
CREATE TABLE removal (
    id       uuid    PRIMARY KEY,
    document bytea   NOT NULL, -- JSON, as logged
    done     boolean NOT NULL DEFAULT false,
    entry    bigint  NOT NULL UNIQUE REFERENCES log_entry
);
ALTER TABLE inbox ADD removal uuid REFERENCES removal;

-- A release is acknowledged when each of its batches is.
CREATE INDEX outbox_release ON outbox (release);
