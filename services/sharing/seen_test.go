package sharing_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// session shows the checkpoint of a log to a partner, as each session does.
func session(t *testing.T, of, to *state) {
	t.Helper()
	checkpoint, old, proof, err := of.WitnessOffer(t.Context(), to.code)
	if err != nil || checkpoint == "" {
		t.Fatalf("%q, %v", checkpoint, err)
	}
	cosigned, size, err := to.Witness(t.Context(), of.code, checkpoint, old, proof)
	if err != nil || cosigned == "" {
		t.Fatalf("%q, %v", cosigned, err)
	}
	if err := of.Cosigned(t.Context(), to.code, cosigned, size); err != nil {
		t.Fatal(err)
	}
}

// seen returns the checkpoints that a state keeps of sessions, page by page.
func (s *state) seen(t *testing.T) []sharing.SeenCheckpoint {
	t.Helper()
	var all []sharing.SeenCheckpoint
	for page := (sharing.Page{Limit: 1}); ; {
		some, next, err := s.SeenCheckpoints(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
		if page.Token = next; next == "" {
			return all
		}
	}
}

// against verifies a log against what somebody has seen of it.
func against(t *testing.T, s *state, seen []sharing.SeenCheckpoint) error {
	t.Helper()
	return againstBy(t, s, s.Trust.List(), seen)
}

// againstBy is against by another trust list.
func againstBy(t *testing.T, s *state, trust *sharing.TrustList, seen []sharing.SeenCheckpoint) error {
	t.Helper()
	entries, err := s.LogEntries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sharing.Verify(t.Context(), trust, s.Codec, sharing.Log{
		State: s.code, Checkpoint: mustCheckpoint(t, s), VerifierKey: s.Keys.Current().LogVerifier, Seen: seen,
		Entries: func(yield func(sharing.LogEntry, error) bool) {
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
		},
	})
	return err
}

// drafts adds entries to a log, as many as there are ids.
func drafts(t *testing.T, w *world, s *state, ids ...string) {
	t.Helper()
	for _, id := range ids {
		terms := w.terms()
		terms.ID = sharing.AgreementID(id)
		must(t)(s.Draft(t.Context(), terms))
		if err := s.Steps()[1](t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckpointsOfSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	drafts(t, w, w.aa, "one", "two", "three")
	session(t, w.aa, w.bb)
	drafts(t, w, w.aa, "four", "five", "six", "seven")
	session(t, w.aa, w.bb)
	t.Run("are all kept by both states, and the log is held against them", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			seen := s.seen(t)
			if len(seen) != 2 || seen[0].Log != "aa" || seen[0].Partner == s.code && s.code == "aa" || seen[0].Size != 3 || seen[1].Size != 7 || seen[0].Created.IsZero() {
				t.Errorf("%s: %+v", s.code, seen)
			}
			if err := against(t, w.aa, seen); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("find a log that was written anew with all its keys, and name the first bad entry", func(t *testing.T) {
		other := newWorld(t)
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		drafts(t, w, other.aa, "one", "two", "three", "four", "another", "six", "seven", "eight")
		bad := (*sharing.BadEntryError)(nil)
		if err := against(t, other.aa, w.bb.seen(t)); !errors.As(err, &bad) || bad.Index != 0 || !strings.Contains(bad.Problem, "up to entry 2") {
			t.Errorf("%v", err)
		}
		if err := against(t, other.aa, w.bb.seen(t)[1:]); !errors.As(err, &bad) || !strings.Contains(bad.Problem, "up to entry 6, is not the one that aa has seen") {
			t.Errorf("%v", err)
		}
	})
	t.Run("find the first of the entries that were written anew after a session", func(t *testing.T) {
		// A copy of the log goes on in another way after the third entry.
		other := newWorld(t)
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		copyLog(t, w.aa, other.aa, 3)
		drafts(t, w, other.aa, "four", "another", "six", "seven")
		bad := (*sharing.BadEntryError)(nil)
		if err := against(t, other.aa, w.bb.seen(t)); !errors.As(err, &bad) || bad.Index != 3 || !strings.Contains(bad.Problem, "up to entry 6") || bad.Meaning == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("find a log whose end is gone", func(t *testing.T) {
		bad := (*sharing.BadEntryError)(nil)
		older := newWorld(t)
		older.aa.Service = sharing.New(older.withKeys(w.aa))
		copyLog(t, w.aa, older.aa, 5)
		if err := against(t, older.aa, w.bb.seen(t)); !errors.As(err, &bad) || bad.Index != 5 || !strings.Contains(bad.Problem, "has seen 7 entries") {
			t.Errorf("%v", err)
		}
	})
	t.Run("prove a split view by two of them alone, of which the second was refused", func(t *testing.T) {
		other := newWorld(t)
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		drafts(t, w, other.aa, "one", "two", "three", "four", "five", "six", "another")
		_, _, err := w.bb.Witness(t.Context(), "aa", mustCheckpoint(t, other.aa), 7, nil)
		if fault.Reason(err) != "EQUIVOCATION" {
			t.Fatal(err)
		}
		seen := w.bb.seen(t)
		found := sharing.SplitViews(w.aa.Trust.List(), seen)
		if len(seen) != 3 || len(found) != 1 || !strings.Contains(found[0], "aa has signed two checkpoints of 7 entries") {
			t.Errorf("%d, %v", len(seen), found)
		}
		if found := sharing.SplitViews(w.aa.Trust.List(), append(w.aa.seen(t), sharing.SeenCheckpoint{Log: "aa", Note: "x"}, sharing.SeenCheckpoint{Log: "zz"})); len(found) != 0 {
			t.Errorf("%v", found)
		}
	})
	t.Run("are not taken from a partner that co-signs what is not ours", func(t *testing.T) {
		text := strings.SplitN(mustCheckpoint(t, w.aa), "\n\n", 2)[0] + "\n"
		alone, err := note.Sign(&note.Note{Text: strings.Replace(text, "\n7\n", "\n9\n", 1)}, w.bb.Keys.Current().Log)
		if err != nil {
			t.Fatal(err)
		}
		err = w.aa.Cosigned(t.Context(), "bb", string(alone), 9)
		if fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
	t.Run("are not verified where their log's state has not signed them", func(t *testing.T) {
		if err := against(t, w.aa, []sharing.SeenCheckpoint{{Log: "aa", Partner: "bb", Note: "x"}}); err == nil {
			t.Error("it was")
		}
	})
}

// copyLog gives a state the first entries of another one's log, and a checkpoint over them.
func copyLog(t *testing.T, from, to *state, entries int) {
	t.Helper()
	copyRows(t, from, to, "log_entry", "arrival, kind, subject, create_time, salt, content_sha256, leaf_hash", fmt.Sprintf("index < %d", entries))
	copyRows(t, from, to, "agreement", "id, version, document, entry", fmt.Sprintf("entry IN (SELECT arrival FROM log_entry WHERE index < %d)", entries))
	if _, err := to.pool.Exec(t.Context(), `SELECT setval(pg_get_serial_sequence('log_entry', 'arrival'), 1000)`); err != nil {
		t.Fatal(err)
	}
	if err := to.Steps()[1](t.Context()); err != nil {
		t.Fatal(err)
	}
}

func copyRows(t *testing.T, from, to *state, table, columns, which string) {
	t.Helper()
	rows, err := from.pool.Query(t.Context(), `SELECT `+columns+` FROM `+table+` WHERE `+which)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		places := make([]string, len(values))
		for i := range values {
			places[i] = fmt.Sprintf("$%d", i+1)
		}
		overriding := ""
		if table == "log_entry" {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
		if _, err := to.pool.Exec(t.Context(), `INSERT INTO `+table+` (`+columns+`)`+overriding+` VALUES (`+strings.Join(places, ", ")+`)`, values...); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
