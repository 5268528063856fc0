-- +goose Up

-- How two states stand where one of them does not co-sign the other's log.
ALTER TABLE witness
    ADD refused   text NOT NULL DEFAULT '', -- the partner's newest checkpoint, where it does not extend the one seen
    ADD objection text NOT NULL DEFAULT ''; -- why the partner does not co-sign ours

-- The word of officers that a partner's log goes on from a checkpoint though it does not extend what was seen.
CREATE TABLE acceptance (
    id         uuid   PRIMARY KEY,
    log        text   NOT NULL,
    checkpoint bigint NOT NULL UNIQUE REFERENCES seen_checkpoint,
    document   bytea  NOT NULL, -- JSON with its signatures, as logged
    entry      bigint NOT NULL UNIQUE REFERENCES log_entry
);
