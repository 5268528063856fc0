-- +goose Up

-- Why the partner does not take what this state has signed; NULL: it has not said so.
ALTER TABLE agreement_signature
    ADD rejection_code text,
    ADD rejection_text text,
    ADD rejection_time timestamptz,
    ADD CHECK (num_nulls(rejection_code, rejection_text, rejection_time) IN (0, 3)),
    ADD CHECK (rejection_code IS NULL OR NOT delivered);
ALTER TABLE agreement_end
    ADD rejection_code text,
    ADD rejection_text text,
    ADD rejection_time timestamptz,
    ADD CHECK (num_nulls(rejection_code, rejection_text, rejection_time) IN (0, 3)),
    ADD CHECK (rejection_code IS NULL OR NOT delivered);

-- What this state took out of its statistics once no agreement covered it any more.
CREATE TABLE agreement_withdrawal (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agreement   text        NOT NULL,
    version     int         NOT NULL,
    indicators  text[]      NOT NULL CHECK (cardinality(indicators) >= 1),
    create_time timestamptz NOT NULL,
    FOREIGN KEY (agreement, version) REFERENCES agreement (id, version)
);
CREATE INDEX agreement_withdrawal_of ON agreement_withdrawal (agreement, version);
