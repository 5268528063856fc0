-- +goose Up

-- Structural artefacts. A version never changes; serial grows with every change of the structures.
CREATE TABLE artefact (
    kind       text        NOT NULL CHECK (kind IN ('codelist', 'data_structure', 'dataflow', 'representation_map', 'structure_map')),
    agency     text        NOT NULL,
    id         text        NOT NULL,
    version    text        NOT NULL,
    content    jsonb       NOT NULL,
    serial     bigint      GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, agency, id, version)
);

-- How national files are read.
CREATE TABLE layout (
    id         text        PRIMARY KEY,
    content    jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Uploads and what became of them. Idempotency keys are local to a dataflow and provider.
CREATE TABLE submission (
    id              uuid        PRIMARY KEY,
    dataflow        text        NOT NULL,
    provider        text        NOT NULL,
    idempotency_key text        CHECK (char_length(idempotency_key) BETWEEN 1 AND 128),
    digest          bytea       NOT NULL CHECK (octet_length(digest) = 32),
    state           text        NOT NULL CHECK (state IN ('ACCEPTED', 'REJECTED')),
    layout          text        NOT NULL,
    release         text        NOT NULL,
    submitter       text        NOT NULL,
    row_count       int         NOT NULL CHECK (row_count >= 0),
    observations    int         NOT NULL CHECK (observations >= 0),
    revision        bigint      NOT NULL CHECK (revision >= 0),
    findings        jsonb       NOT NULL,
    derivations     jsonb       NOT NULL,
    action          text        NOT NULL CHECK (action IN ('MERGE', 'REPLACE', 'APPEND', 'DELETE')),
    changes         jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    CHECK (state = 'ACCEPTED' OR (revision = 0 AND observations = 0)),
    UNIQUE (dataflow, provider, idempotency_key)
);

-- Dataflows that hold figures. code_count grows with every code, so that a reader sees whether it knows them all.
CREATE TABLE dataflow (
    id         int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref        text NOT NULL UNIQUE,
    code_count int  NOT NULL DEFAULT 0 CHECK (code_count >= 0)
);

-- The numbers of the codes of each dimension, from 0 without a gap, in the order in which they came.
CREATE TABLE code (
    dataflow  int      NOT NULL REFERENCES dataflow,
    dimension smallint NOT NULL CHECK (dimension BETWEEN 1 AND 16),
    code      smallint NOT NULL CHECK (code >= 0),
    text      text     NOT NULL CHECK (text <> ''),
    PRIMARY KEY (dataflow, dimension, code),
    UNIQUE (dataflow, dimension, text)
);

-- A part is a provider's figures in a dataflow, or a bucket of them: what is written under one lock, and, leading every
-- key below, what a distributed database keeps on one node.
CREATE TABLE part (
    id       int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataflow int  NOT NULL REFERENCES dataflow,
    provider text NOT NULL CHECK (provider <> ''),
    bucket   int  NOT NULL DEFAULT 0,
    UNIQUE (dataflow, provider, bucket)
);

-- The revisions of a part, numbered from 1 in it; number is that of the node.
CREATE TABLE revision (
    part         int         NOT NULL,
    rev          bigint      NOT NULL CHECK (rev BETWEEN 1 AND 2147483647),
    number       bigint      NOT NULL CHECK (number >= 1),
    committed_at timestamptz NOT NULL,
    PRIMARY KEY (part, rev)
);

-- The revisions of the node in the order of commits.
CREATE TABLE news (
    number       bigint      NOT NULL CHECK (number >= 1),
    ordinal      int         NOT NULL CHECK (ordinal >= 1),
    dataflow     text        NOT NULL,
    provider     text        NOT NULL,
    submission   uuid,
    committed_at timestamptz NOT NULL,
    PRIMARY KEY (number, ordinal)
);
CREATE INDEX news_committed_at ON news (committed_at);

-- Series. key is the codes as big-endian 16-bit numbers: the order of bytes is that of keys.
CREATE TABLE series (
    part int      NOT NULL,
    key  bytea    NOT NULL,
    d1   smallint NOT NULL,
    d2   smallint,
    d3   smallint,
    d4   smallint,
    d5   smallint,
    d6   smallint,
    d7   smallint,
    d8   smallint,
    d9   smallint,
    d10  smallint,
    d11  smallint,
    d12  smallint,
    d13  smallint,
    d14  smallint,
    d15  smallint,
    d16  smallint,
    PRIMARY KEY (part, key)
);

-- Cells, some of a run of periods of one series a row: blk counts runs, mask has a bit for each cell of the run that the
-- row has. vals and the columns after it have an entry for each bit that is set, in their order, or are empty:
--   vals   the figures, all with the same number of bytes, big-endian: 1, 2 or 4 as unsigned integers, 8 as float8
--   obs    OBS_STATUS, a byte each; empty: all are A
--   conf   CONF_STATUS, a byte each; empty: all are F
--   ages   how many revisions before rev each is from, in 1, 2, 4 or 8 bytes each; empty: all are from rev
--   notes  a JSON object of the further attributes by id: one text for all, or a list with one for each
--
-- cur holds the cells that were not taken away. A run has several rows where revisions came upon it: of two that have a cell,
-- the later one counts, so a row is never changed; when there are several, they become one.
CREATE TABLE cur (
    mask  bigint NOT NULL CHECK (mask > 0),
    rev   int    NOT NULL CHECK (rev >= 1),
    part  int    NOT NULL,
    blk   int    NOT NULL,
    key   bytea  NOT NULL,
    vals  bytea  NOT NULL,
    obs   bytea  NOT NULL,
    conf  bytea  NOT NULL,
    ages  bytea  NOT NULL,
    notes text   NOT NULL
);
-- No primary key: without rev, all rows of a run share an entry of the index, which makes a row half as large.
CREATE INDEX cur_key ON cur (part, key, blk);
CREATE INDEX cur_rev ON cur USING brin (rev);

-- hist holds cells that cur had until before revision rev_to, and has no more: later ones stand in their place, or none.
CREATE TABLE hist (
    mask   bigint NOT NULL CHECK (mask > 0),
    rev    int    NOT NULL CHECK (rev >= 1),
    rev_to int    NOT NULL,
    part   int    NOT NULL,
    blk    int    NOT NULL,
    key    bytea  NOT NULL,
    vals   bytea  NOT NULL,
    obs    bytea  NOT NULL,
    conf   bytea  NOT NULL,
    ages   bytea  NOT NULL,
    notes  text   NOT NULL,
    CHECK (rev_to > rev)
);
CREATE INDEX hist_key ON hist (part, key, blk);
CREATE INDEX hist_rev ON hist USING brin (rev_to);
