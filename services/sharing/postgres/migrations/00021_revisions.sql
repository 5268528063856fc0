-- +goose Up

-- What stands for a cell in a revision is found without a look at what it was in others.
CREATE INDEX ledger_unknown_revision ON ledger_unknown (ledger, cell, revision);
DROP INDEX ledger_unknown_cell;
