-- +goose Up

-- What each audience has seen: unknowns, equations between them, and points that prove how little can be computed.
-- The three have their ids from one counter of the audience.
CREATE TABLE ledger (
    id       int    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audience text   NOT NULL UNIQUE CHECK (audience <> ''),
    next     bigint NOT NULL DEFAULT 1 CHECK (next >= 1)
);
-- Everybody belongs to the public.
INSERT INTO ledger (audience) VALUES ('PUBLIC');

-- What was added, and when: a thing with an id from first on came with this release.
CREATE TABLE ledger_release (
    ledger      int         NOT NULL REFERENCES ledger,
    first       bigint      NOT NULL,
    next        bigint      NOT NULL CHECK (next >= first),
    release     text        NOT NULL,
    revision    bigint      NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_release_first ON ledger_release (ledger, first);

-- A cell in a revision.
CREATE TABLE ledger_unknown (
    ledger   int     NOT NULL REFERENCES ledger,
    id       bigint  NOT NULL,
    cell     text    COLLATE "C" NOT NULL,
    revision bigint  NOT NULL, -- that gave the cell this value
    value    bigint  NOT NULL CHECK (value >= 0),
    ceiling  bigint  NOT NULL CHECK (ceiling >= value),
    open     boolean NOT NULL, -- the audience was not told the value
    untold   boolean NOT NULL, -- nor that it is withheld: it is there for equations alone
    width    bigint  NOT NULL CHECK (width >= 0),
    single   boolean NOT NULL, -- it has one contributor, who knows it
    exposed  boolean NOT NULL, -- the audience can compute it, out of what it has from elsewhere
    PRIMARY KEY (ledger, id)
);
CREATE INDEX ledger_unknown_cell ON ledger_unknown (ledger, cell);

-- An equation: the unknown total is the sum of parts.
CREATE TABLE ledger_line (
    ledger int      NOT NULL REFERENCES ledger,
    id     bigint   NOT NULL,
    total  bigint   NOT NULL,
    parts  bigint[] NOT NULL,
    PRIMARY KEY (ledger, id)
);
CREATE TABLE ledger_term (
    ledger  int    NOT NULL,
    unknown bigint NOT NULL,
    line    bigint NOT NULL,
    PRIMARY KEY (ledger, unknown, line)
);

-- A way in which unknowns may differ from their values without the audience seeing it.
CREATE TABLE ledger_point (
    ledger   int      NOT NULL REFERENCES ledger,
    id       bigint   NOT NULL,
    unknowns bigint[] NOT NULL,
    moves    bigint[] NOT NULL CHECK (cardinality(moves) = cardinality(unknowns)),
    PRIMARY KEY (ledger, id)
);
CREATE TABLE ledger_move (
    ledger  int    NOT NULL,
    unknown bigint NOT NULL,
    point   bigint NOT NULL,
    PRIMARY KEY (ledger, unknown, point)
);
CREATE INDEX ledger_move_point ON ledger_move (ledger, point);
