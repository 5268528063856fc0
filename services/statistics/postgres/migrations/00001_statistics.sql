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
    rev          bigint      NOT NULL CHECK (rev >= 1),
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

-- Cells, a run of periods of one series a row: blk counts runs, mask has a bit for each cell that is there, and vals, obs
-- (OBS_STATUS) and conf (CONF_STATUS) a place for each, 0 where there is none, so that sums hold. notes has the further
-- attributes: by id, one text for all cells of the run, or a list with one for each. cur holds the cells as they are.
CREATE TABLE cur (
    part  int      NOT NULL,
    key   bytea    NOT NULL,
    blk   int      NOT NULL,
    rev   bigint   NOT NULL CHECK (rev >= 1),
    mask  bigint   NOT NULL CHECK (mask >= 0),
    vals  float8[] NOT NULL,
    obs   bytea    NOT NULL,
    conf  bytea    NOT NULL,
    notes jsonb,
    PRIMARY KEY (part, key, blk),
    CHECK (array_length(vals, 1) = octet_length(obs) AND octet_length(obs) = octet_length(conf))
) WITH (fillfactor = 50);
CREATE INDEX cur_rev ON cur USING brin (rev);

-- hist holds them as they were from revision rev until before rev_to.
CREATE TABLE hist (
    part   int      NOT NULL,
    key    bytea    NOT NULL,
    blk    int      NOT NULL,
    rev    bigint   NOT NULL CHECK (rev >= 1),
    rev_to bigint   NOT NULL,
    mask   bigint   NOT NULL CHECK (mask >= 0),
    vals   float8[] NOT NULL,
    obs    bytea    NOT NULL,
    conf   bytea    NOT NULL,
    notes  jsonb,
    PRIMARY KEY (part, key, blk, rev),
    CHECK (rev_to > rev)
);
CREATE INDEX hist_rev ON hist USING brin (rev);
