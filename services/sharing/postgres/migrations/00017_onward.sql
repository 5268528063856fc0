-- +goose Up

-- By which agreement what a release passes on came here; null: it has this state's own figures.
ALTER TABLE release ADD source text;
CREATE INDEX release_passed ON release (agreement, source, entry DESC) WHERE source IS NOT NULL;

-- Whose figures a partner's release has, where they are not its own.
CREATE TABLE inbound_warrant (
    release        uuid        PRIMARY KEY REFERENCES inbound_release,
    agreement      text        NOT NULL, -- with who passed it on
    source         text        NOT NULL, -- the agreement by which it came there
    source_version int         NOT NULL,
    source_time    timestamptz           -- when the source released it; null: what came before is taken back
);
CREATE INDEX inbound_warrant_of_agreement ON inbound_warrant (agreement, source);
CREATE INDEX inbound_release_of_agreement ON inbound_release (agreement, id DESC) WHERE state = 4;
