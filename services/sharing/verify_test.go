package sharing_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// proofless are the columns that nothing is proved by: they say where a loop or a stream stands, repeat for lists what
// an envelope says, or follow from what is logged.
var proofless = map[string]string{
	"outbox.release": "repeats the header", "outbox.cells": "counts the payload's rows",
	"inbox.release": "repeats the header", "inbox.agreement": "repeats the header", "inbox.batch": "repeats the header", "inbox.made": "repeats the header",
	"inbox.cells": "counts the payload's rows", "inbox.refusal": "says why, the entry's kind says that", "inbox.refusal_text": "is a sentence for people",
	"evidence.sender": "repeats the header", "evidence.refusal": "says why, the entry's kind says that", "evidence.refusal_text": "is a sentence for people",
	"agreement_signature.delivered": "is bookkeeping", "agreement_end.delivered": "is bookkeeping",
	"switch.mode": "repeats the document", "switch.partner": "repeats the document", "switch.indicator": "repeats the document",
	"withdrawal.delivered": "is bookkeeping", "inbox.removal": "is bookkeeping", "removal.done": "is bookkeeping", "checkpoint.single": "is a constant", "inbox.payload_sha256": "repeats the header",
	"publication.dataflow": "repeats the document",
	"publication.state":    "is bookkeeping", "publication.problem": "is bookkeeping", "publication.update_time": "is bookkeeping",
}

func TestVerify(t *testing.T) {
	ctx := t.Context()
	w, out := waiting(t, 2)
	// A log with an entry of each kind at one of the two states.
	w.bb.rules.refuse = "too much"
	_, _ = w.bb.Receive(ctx, "aa", out[0].Envelope)
	w.bb.rules.refuse = ""
	w.run(t)
	_, _ = w.bb.Receive(ctx, "aa", w.forge(t, out[1].Envelope, func(h *sharing.Header) { h.PolicyRevision = "another" }))
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {Allow: true, Detail: map[string]string{"FREQ": "M"}}}
	must(t)(w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}}))
	must(t)(w.bb.LiftQuarantine(ctx, "aa", "pat", "they have explained it"))
	w.bb.kill(t, sharing.SwitchRequest{Partner: "aa", Indicator: "1A"})
	must(t)(w.bb.Terminate(ctx, "aa-bb-1a", "enough"))
	for range 2 {
		for _, s := range []*state{w.bb, w.aa} {
			for _, step := range s.Steps() {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, s := range []*state{w.aa, w.bb} {
		if n, err := s.verify(ctx); err != nil {
			t.Fatalf("%s: after %d entries: %v", s.code, n, err)
		}
		for _, table := range []string{
			"log_entry", "checkpoint", "agreement", "agreement_signature", "agreement_end", "decision", "release", "outbox", "inbox", "evidence",
			"publication", "quarantine_lift", "switch",
		} {
			flipEach(t, s, table)
		}
	}
	for _, s := range []*state{w.aa, w.bb} {
		cut(t, s)
	}
}

// flipEach changes each column of each row of a table by the least that it can be, in turn, and expects the verifier to
// find it.
func flipEach(t *testing.T, s *state, table string) {
	t.Helper()
	ctx := t.Context()
	rows, err := s.pool.Query(ctx, `
		SELECT column_name::text, data_type::text
		FROM information_schema.columns
		WHERE table_name = $1 AND table_schema = 'public'
		ORDER BY ordinal_position`, table)
	if err != nil {
		t.Fatal(err)
	}
	type column struct{ Name, Type string }
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil || len(columns) == 0 {
		t.Fatalf("%s has columns %v, %v", table, columns, err)
	}
	for _, c := range columns {
		if proofless[table+"."+c.Name] != "" {
			continue
		}
		change := map[string]string{
			"bytea":                    "set_byte(%[1]s, octet_length(%[1]s) / 2, get_byte(%[1]s, octet_length(%[1]s) / 2) # 1)",
			"text":                     "overlay(%[1]s placing chr(ascii(substr(%[1]s, 3)) # 1) from 3 for 1)",
			"bigint":                   "%[1]s + 1000000",
			"integer":                  "%[1]s + 1",
			"smallint":                 "%[1]s %% 8 + 1",
			"uuid":                     "overlay(%[1]s::text placing '0000' from 10 for 4)::uuid",
			"timestamp with time zone": "%[1]s + interval '1 microsecond'",
		}[c.Type]
		if change == "" {
			t.Fatalf("%s.%s is of type %s", table, c.Name, c.Type)
		}
		t.Run(fmt.Sprintf("finds a change of %s.%s at %s", table, c.Name, s.code), func(t *testing.T) {
			ids, err := s.pool.Query(ctx, `SELECT ctid::text FROM `+table+` WHERE `+c.Name+` IS NOT NULL`)
			if err != nil {
				t.Fatal(err)
			}
			all, err := pgx.CollectRows(ids, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range all {
				if len(all) > 6 && i%(len(all)/6) != 0 {
					continue // some of them
				}
				// In a transaction that is rolled back, without keys between tables: whoever changes rows can lift those.
				err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
					if err := lift(t, tx, table); err != nil {
						return err
					}
					tag, err := tx.Exec(ctx, fmt.Sprintf(`UPDATE %s SET %s = %s WHERE ctid = $1`, table, c.Name, fmt.Sprintf(change, c.Name)), id)
					if err != nil || tag.RowsAffected() != 1 {
						return fmt.Errorf("changing: %d rows, %w", tag.RowsAffected(), err)
					}
					n, err := s.verifyIn(ctx, tx)
					if err == nil {
						t.Errorf("row %s: not found", id)
					}
					if bad := (*sharing.BadEntryError)(nil); table != "checkpoint" && (!errors.As(err, &bad) || bad.Index != n || bad.Meaning == "") {
						t.Errorf("row %s: after %d entries: %v", id, n, err)
					}
					return errUndo
				})
				if !errors.Is(err, errUndo) {
					t.Fatal(err)
				}
			}
		})
	}
}

var errUndo = errors.New("undone")

// lift drops what the database itself holds against a change.
func lift(t *testing.T, tx pgx.Tx, table string) error {
	t.Helper()
	rows, err := tx.Query(t.Context(), `
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname)
		FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u') AND $1::regclass IN (conrelid, confrelid)`, table)
	if err != nil {
		return err
	}
	drops, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if table == "log_entry" {
		drops = append(drops, `ALTER TABLE log_entry ALTER arrival DROP IDENTITY`)
	}
	for _, drop := range drops {
		if _, err := tx.Exec(t.Context(), drop); err != nil {
			return err
		}
	}
	return nil
}

// cut takes rows away from a log.
func cut(t *testing.T, s *state) {
	t.Helper()
	ctx := t.Context()
	checkpoint, _, err := s.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, statements := range map[string][]string{
		"an entry that is gone":        {`DELETE FROM log_entry WHERE index = 5`},
		"a tail that is gone":          {`DELETE FROM log_entry WHERE index > 7`},
		"an entry without content":     {`UPDATE decision SET document = ''`},
		"a checkpoint that is gone":    {`DELETE FROM checkpoint`},
		"a log that was written anew":  {`UPDATE log_entry SET index = index + 100 WHERE index = 3`, `UPDATE log_entry SET index = 3 WHERE index = 4`, `UPDATE log_entry SET index = 4 WHERE index = 103`},
		"a content that is exchanged":  {`UPDATE decision a SET document = b.document FROM decision b WHERE a.id < b.id`},
		"contents that changed places": {`UPDATE decision SET entry = -entry`, `UPDATE decision SET entry = (SELECT sum(-entry) FROM (SELECT entry FROM decision ORDER BY entry LIMIT 2) x) + entry`},
	} {
		t.Run("finds "+name+" at "+string(s.code), func(t *testing.T) {
			err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
				for _, table := range []string{"log_entry", "decision"} {
					if err := lift(t, tx, table); err != nil {
						return err
					}
				}
				changed := int64(0)
				for _, statement := range statements {
					tag, err := tx.Exec(ctx, statement)
					if err != nil {
						return fmt.Errorf("%s: %w", statement, err)
					}
					changed += tag.RowsAffected()
				}
				if changed == 0 {
					return errUndo // this log has none of it
				}
				if _, err := s.verifyIn(ctx, tx); err == nil {
					t.Error("not found")
				}
				return errUndo
			})
			if !errors.Is(err, errUndo) {
				t.Fatal(err)
			}
		})
	}
	t.Run("is not misled into signing over a log that was cut off at "+string(s.code), func(t *testing.T) {
		if _, err := s.pool.Exec(ctx, `UPDATE log_entry SET index = NULL, tree_hashes = NULL WHERE index = (SELECT max(index) FROM log_entry)`); err != nil {
			t.Fatal(err)
		}
		if err := s.Steps()[1](ctx); err == nil {
			t.Error("it signed again")
		}
		if again := mustCheckpoint(t, s); again != checkpoint {
			t.Error("the checkpoint has changed")
		}
	})
}
