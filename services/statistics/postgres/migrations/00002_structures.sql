-- +goose Up

ALTER TABLE artefact DROP CONSTRAINT artefact_kind_check;
ALTER TABLE artefact ADD CONSTRAINT artefact_kind_check CHECK (kind IN (
    'codelist', 'concept_scheme', 'data_structure', 'dataflow', 'content_constraint', 'provision_agreement',
    'representation_map', 'structure_map', 'agency_scheme', 'data_provider_scheme'
));

-- serial changes with the content, which has become possible for drafts: who knows a serial knows what it is of.
COMMENT ON COLUMN artefact.serial IS 'another one for each content';

-- Counts changes of the artefacts, removals too, in one row.
CREATE TABLE artefact_change (
    one    int    PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    change bigint NOT NULL CHECK (change >= 0)
);
INSERT INTO artefact_change (change) VALUES (0);
