-- +goose Up

-- When an envelope was made, as its sender says: what came under an agreement is held against its quota by that.
ALTER TABLE inbox ADD made timestamptz;
UPDATE inbox i SET made = l.create_time FROM log_entry l WHERE l.arrival = i.entry;
ALTER TABLE inbox ALTER made SET NOT NULL;
CREATE INDEX inbox_made ON inbox (agreement, made);
