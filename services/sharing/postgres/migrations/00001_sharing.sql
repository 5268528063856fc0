-- +goose Up

-- The transparency log. What an entry is the proof of is kept where it is used; each such row names its entry, and its
-- key columns make up the entry's subject, so that a row which is changed or exchanged is not the entry's any more.
CREATE TABLE log_entry (
    arrival        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index          bigint      UNIQUE CHECK (index >= 0), -- NULL: not sequenced yet
    kind           smallint    NOT NULL CHECK (kind BETWEEN 1 AND 8),
    subject        text        NOT NULL CHECK (subject <> '' AND subject !~ '\n'),
    create_time    timestamptz NOT NULL,
    salt           bytea       NOT NULL CHECK (octet_length(salt) = 32),
    content_sha256 bytea       NOT NULL CHECK (octet_length(content_sha256) = 32),
    leaf_hash      bytea       NOT NULL CHECK (octet_length(leaf_hash) = 32),
    tree_hashes    bytea,
    CHECK ((index IS NULL) = (tree_hashes IS NULL)),
    UNIQUE (kind, subject)
);
CREATE INDEX log_entry_arrived ON log_entry (arrival) WHERE index IS NULL;

-- The newest checkpoint, and no older one: nobody can go back to a shorter log by deleting a row.
CREATE TABLE checkpoint (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    note   text    NOT NULL
);

-- What the states have seen of each other's logs.
CREATE TABLE witness (
    partner  text   PRIMARY KEY,
    size     bigint NOT NULL CHECK (size >= 0), -- of the partner's log, as seen here last
    root     bytea  NOT NULL,
    shown    bigint NOT NULL CHECK (shown >= 0), -- the size of our log that the partner has seen last
    cosigned text   NOT NULL
);

-- Agreements. How one stands follows from its signatures and terminations, and is not written down twice.
CREATE TABLE agreement (
    id       text   NOT NULL,
    version  int    NOT NULL CHECK (version >= 1),
    document bytea  NOT NULL,
    entry    bigint NOT NULL UNIQUE REFERENCES log_entry,
    PRIMARY KEY (id, version)
);
CREATE TABLE agreement_signature (
    id        text    NOT NULL,
    version   int     NOT NULL,
    state     text    NOT NULL,
    signed    bytea   NOT NULL,
    delivered boolean NOT NULL DEFAULT false, -- of our own: the partner has it
    entry     bigint  NOT NULL UNIQUE REFERENCES log_entry,
    PRIMARY KEY (id, version, state),
    FOREIGN KEY (id, version) REFERENCES agreement
);
CREATE TABLE agreement_end (
    id        text    NOT NULL,
    version   int     NOT NULL,
    state     text    NOT NULL,
    signed    bytea   NOT NULL,
    delivered boolean NOT NULL DEFAULT false, -- of our own: the partner has it
    entry     bigint  NOT NULL UNIQUE REFERENCES log_entry,
    PRIMARY KEY (id, version, state),
    FOREIGN KEY (id, version) REFERENCES agreement
);

CREATE TABLE decision (
    id       uuid   PRIMARY KEY,
    document bytea  NOT NULL, -- JSON, as logged
    entry    bigint NOT NULL UNIQUE REFERENCES log_entry
);
CREATE TABLE release (
    id        uuid   PRIMARY KEY,
    partner   text   NOT NULL,
    agreement text   NOT NULL,
    version   int    NOT NULL,
    document  bytea  NOT NULL, -- JSON, as logged
    entry     bigint NOT NULL UNIQUE REFERENCES log_entry,
    FOREIGN KEY (agreement, version) REFERENCES agreement (id, version)
);
CREATE INDEX release_of_agreement ON release (agreement, entry DESC);
CREATE INDEX release_of_partner ON release (partner, entry DESC);

-- The streams to partners. Whoever holds the row gives out the next sequence number.
CREATE TABLE outbound (
    stream   text   PRIMARY KEY,
    receiver text   NOT NULL UNIQUE,
    epoch    uuid   NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    sha256   bytea,
    CHECK ((sequence = 0) = (sha256 IS NULL))
);
CREATE TABLE outbox (
    stream        text   NOT NULL REFERENCES outbound,
    epoch         uuid   NOT NULL,
    sequence      bigint NOT NULL CHECK (sequence >= 1),
    release       uuid   NOT NULL REFERENCES release,
    cells         int    NOT NULL CHECK (cells >= 0),
    envelope      bytea  NOT NULL,
    entry         bigint NOT NULL UNIQUE REFERENCES log_entry,
    receipt       bytea,
    receipt_entry bigint UNIQUE REFERENCES log_entry,
    PRIMARY KEY (stream, epoch, sequence),
    CHECK ((receipt IS NULL) = (receipt_entry IS NULL))
);
-- Envelopes do not get smaller by compression, and parts of them are not read.
ALTER TABLE outbox ALTER envelope SET STORAGE EXTERNAL;

-- The streams from partners.
CREATE TABLE inbound (
    stream      text    PRIMARY KEY,
    sender      text    NOT NULL UNIQUE,
    epoch       uuid, -- NULL: nothing was received yet
    sequence    bigint  NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    sha256      bytea,
    quarantined boolean NOT NULL DEFAULT false,
    CHECK ((sequence = 0) = (sha256 IS NULL) AND (sequence = 0) = (epoch IS NULL))
);
CREATE TABLE inbox (
    stream        text   NOT NULL REFERENCES inbound,
    epoch         uuid   NOT NULL,
    sequence      bigint NOT NULL CHECK (sequence >= 1),
    release       uuid   NOT NULL,
    agreement     text   NOT NULL,
    batch         int    NOT NULL CHECK (batch >= 0),
    cells         int    NOT NULL CHECK (cells >= 0),
    envelope      bytea  NOT NULL,
    refusal       text,  -- a code of ErrorReason; NULL: the content is data
    refusal_text  text,
    entry         bigint NOT NULL UNIQUE REFERENCES log_entry,
    receipt       bytea,
    receipt_entry bigint UNIQUE REFERENCES log_entry,
    PRIMARY KEY (stream, epoch, sequence),
    CHECK ((receipt IS NULL) = (receipt_entry IS NULL)),
    CHECK ((refusal IS NULL) = (refusal_text IS NULL)),
    CHECK (refusal IS NULL OR receipt IS NULL)
);
ALTER TABLE inbox ALTER envelope SET STORAGE EXTERNAL;
-- A batch of a release is data once.
CREATE UNIQUE INDEX inbox_batch ON inbox (release, batch) WHERE refusal IS NULL;

CREATE TABLE inbound_release (
    id        uuid     PRIMARY KEY,
    sender    text     NOT NULL,
    agreement text     NOT NULL,
    state     smallint NOT NULL CHECK (state BETWEEN 3 AND 6), -- staged, stored, refused, superseded
    batches   int      NOT NULL CHECK (batches >= 1),
    received  int      NOT NULL CHECK (received BETWEEN 0 AND batches),
    sha256    bytea    NOT NULL,
    reason    text     NOT NULL,
    CHECK (state <> 4 OR received = batches)
);
CREATE INDEX inbound_release_staged ON inbound_release (sender, agreement) WHERE state = 3;

-- Envelopes that their senders have signed and that have no place in their streams.
CREATE TABLE evidence (
    stream       text   NOT NULL,
    epoch        uuid   NOT NULL,
    sequence     bigint NOT NULL,
    sender       text   NOT NULL,
    envelope     bytea  NOT NULL,
    refusal      text   NOT NULL,
    refusal_text text   NOT NULL,
    entry        bigint PRIMARY KEY REFERENCES log_entry
);

CREATE TABLE partner_contact (
    partner      text        PRIMARY KEY,
    contact_time timestamptz, -- when it last answered
    problem      text        NOT NULL -- what went wrong since; '': nothing
);

-- How far the loops of the service got.
CREATE TABLE progress (
    name   text PRIMARY KEY,
    cursor text NOT NULL
);
