-- +goose Up

-- Whoever adds rows to a ledger has locked the row of the ledger, which is never deleted. To look for it again for each of them
-- took as long as to write them.
ALTER TABLE ledger_unknown DROP CONSTRAINT ledger_unknown_ledger_fkey;
ALTER TABLE ledger_line DROP CONSTRAINT ledger_line_ledger_fkey;
ALTER TABLE ledger_point DROP CONSTRAINT ledger_point_ledger_fkey;
