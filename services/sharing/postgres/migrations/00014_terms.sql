-- +goose Up

-- Withdrawals are in the log, and kept as their receivers have signed them.
DROP TABLE agreement_withdrawal;

-- Changes of the structures that states share. How one stands follows from its signatures.
CREATE TABLE amendment (
    id       text   PRIMARY KEY,
    document bytea  NOT NULL,
    entry    bigint NOT NULL UNIQUE REFERENCES log_entry
);
CREATE TABLE amendment_signature (
    id     text   NOT NULL REFERENCES amendment,
    state  text   NOT NULL,
    signed bytea  NOT NULL,
    entry  bigint NOT NULL UNIQUE REFERENCES log_entry,
    PRIMARY KEY (id, state)
);
CREATE TABLE amendment_effect (
    id       text   PRIMARY KEY REFERENCES amendment,
    document bytea  NOT NULL, -- JSON, as logged
    entry    bigint NOT NULL UNIQUE REFERENCES log_entry
);

-- How this state's signature stands with the others. Who has it has no rejection.
CREATE TABLE amendment_delivery (
    id             text NOT NULL REFERENCES amendment,
    state          text NOT NULL,
    rejection_code text,
    rejection_text text,
    rejection_time timestamptz,
    PRIMARY KEY (id, state),
    CHECK (num_nulls(rejection_code, rejection_text, rejection_time) IN (0, 3))
);
