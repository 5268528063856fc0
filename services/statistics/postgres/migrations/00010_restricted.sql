-- +goose Up

-- Blocks with a figure that is not free for all to see, or has an embargo: few, and asked for by every query of somebody who
-- does not see all.
CREATE INDEX cur_restricted ON cur (part, key)
    WHERE btrim(conf, '\x0046'::bytea) <> ''::bytea OR strpos(notes, '"EMBARGO_TIME":') > 0;
CREATE INDEX hist_restricted ON hist (part, key)
    WHERE btrim(conf, '\x0046'::bytea) <> ''::bytea OR strpos(notes, '"EMBARGO_TIME":') > 0;

-- The planner knows by these that such blocks are few: without them it takes nearly all to be such, and reads the whole part.
CREATE STATISTICS cur_marks ON (btrim(conf, '\x0046'::bytea)), (strpos(notes, '"EMBARGO_TIME":')) FROM cur;
CREATE STATISTICS hist_marks ON (btrim(conf, '\x0046'::bytea)), (strpos(notes, '"EMBARGO_TIME":')) FROM hist;
