-- +goose Up

-- Withdrawals are in the log, and kept as their receivers have signed them.
DROP TABLE agreement_withdrawal;
