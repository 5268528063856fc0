-- +goose Up

-- Counts what changed about agreements, so that who knows them need not read them again.
CREATE TABLE agreement_change (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    changes bigint  NOT NULL
);
INSERT INTO agreement_change (changes) VALUES (0);

-- +goose StatementBegin
CREATE FUNCTION count_agreement_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE agreement_change SET changes = changes + 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER agreement_changed AFTER INSERT OR UPDATE OR DELETE ON agreement
    FOR EACH STATEMENT EXECUTE FUNCTION count_agreement_change();
CREATE TRIGGER agreement_signature_changed AFTER INSERT OR UPDATE OR DELETE ON agreement_signature
    FOR EACH STATEMENT EXECUTE FUNCTION count_agreement_change();
CREATE TRIGGER agreement_end_changed AFTER INSERT OR UPDATE OR DELETE ON agreement_end
    FOR EACH STATEMENT EXECUTE FUNCTION count_agreement_change();

-- What a batch is in the hash of its release; empty for what came before this was kept.
ALTER TABLE inbox ADD payload_sha256 bytea NOT NULL DEFAULT '';

-- How far a stream is receipted is asked for with each look at the metrics.
CREATE INDEX outbox_receipted ON outbox (stream, epoch, sequence) WHERE receipt IS NOT NULL;

-- What the receiver of an agreement's figures has after the newest release, in batches: what the next release is held against.
CREATE TABLE released_content (
    agreement text  NOT NULL,
    batch     int   NOT NULL CHECK (batch >= 0),
    payload   bytea NOT NULL,
    PRIMARY KEY (agreement, batch)
);
ALTER TABLE released_content ALTER payload SET STORAGE EXTERNAL;
