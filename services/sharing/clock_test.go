package sharing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// setClock lets a state's clock differ from the world's.
func (w *world) setClock(s *state, ahead time.Duration) {
	config := s.Config
	config.Clock = func() time.Time { return w.now().Add(ahead) }
	s.Service = sharing.New(config)
}

// Clocks of two nodes differ, by little or by a lot. What a wrong clock has made is refused with a sentence that says so, and
// nothing is lost by it: when the clock is right, all goes on.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sender, receiver time.Duration
		refused          string // "": it is accepted
	}{
		"accepts what a clock ahead by minutes has made":              {sender: 4 * time.Minute},
		"accepts what a clock behind by days has made":                {sender: -72 * time.Hour},
		"accepts receipts of a receiver that is days ahead":           {receiver: 72 * time.Hour},
		"accepts what was made minutes ahead of the receiver's clock": {receiver: -4 * time.Minute},
		"refuses what a sender's clock ahead by a quarter of an hour has made, and has it made again": {
			sender: 15 * time.Minute, refused: "one of the two is wrong",
		},
		"refuses what a sender's clock ahead by a year has made, and has it made again": {
			sender: 365 * 24 * time.Hour, refused: "one of the two is wrong",
		},
		"refuses everything while the receiver's own clock is behind, and takes the same afterwards": {
			receiver: -time.Hour, refused: "one of the two is wrong",
		},
		"refuses what has expired by the receiver's clock, and takes the same when that is right": {
			receiver: 100 * 24 * time.Hour, refused: "it was deliverable until",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			w.newFigures()
			w.agree(t, w.terms())
			before, err := w.bb.Cursor(ctx, "aa")
			if err != nil {
				t.Fatal(err)
			}
			w.setClock(w.aa, test.sender)
			w.setClock(w.bb, test.receiver)
			w.aa.figures.set(watched, 500)
			for _, step := range w.aa.Steps() {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			outgoing, err := w.aa.Outgoing(ctx, "bb", before, 1)
			if err != nil || len(outgoing) != 1 {
				t.Fatalf("%d envelopes wait, %v", len(outgoing), err)
			}
			_, err = w.bb.Receive(ctx, "aa", outgoing[0].Envelope)
			after, failed := w.bb.Cursor(ctx, "aa")
			switch {
			case failed != nil:
				t.Fatal(failed)
			case test.refused == "" && err != nil:
				t.Fatal(err)
			case test.refused != "" && (fault.Reason(err) != "ENVELOPE_INVALID" || !strings.Contains(err.Error(), test.refused) || before != after):
				t.Errorf("%v; from %v to %v", err, before, after)
			}
			w.setClock(w.aa, 0)
			w.setClock(w.bb, 0)
			w.catchUp(t, 500)
			w.aa.figures.set(watched, 600)
			w.catchUp(t, 600)
			for _, s := range []*state{w.aa, w.bb} {
				if n, err := s.verify(ctx); err != nil {
					t.Errorf("the log of %s, after %d entries: %v", s.code, n, err)
				}
			}
			for release, times := range w.bb.figures.submitted {
				if times != 1 {
					t.Errorf("%s was stored %d times", release, times)
				}
			}
		})
	}
}
