-- +goose Up

-- Where nothing is known of later revisions, nobody has to look for it, cell by cell.
ALTER TABLE ledger ADD COLUMN newest bigint NOT NULL DEFAULT 0; -- revision of which anything is in the ledger
UPDATE ledger l
SET newest = coalesce((SELECT max(revision) FROM ledger_release r WHERE r.ledger = l.id), 0);
