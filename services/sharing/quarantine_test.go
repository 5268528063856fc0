package sharing_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// quarantined returns a world in which aa has sent bb two envelopes for one place, and the next one, which waits.
func quarantined(t *testing.T) (*world, []sharing.Outgoing) {
	t.Helper()
	w, out := waiting(t, 2)
	if _, err := w.bb.Receive(t.Context(), "aa", out[0].Envelope); err != nil {
		t.Fatal(err)
	}
	contradict(t, w, out[0].Envelope)
	return w, out
}

// contradict sends bb another envelope for the place of one that it has.
func contradict(t *testing.T, w *world, envelope []byte) {
	t.Helper()
	other := w.forge(t, envelope, func(h *sharing.Header) { h.PolicyRevision += "another" })
	if _, err := w.bb.Receive(t.Context(), "aa", other); fault.Reason(err) != "EQUIVOCATION" {
		t.Fatal(err)
	}
}

// refuses expects bb to take no envelope from a quarantined stream.
func refuses(t *testing.T, w *world, envelope []byte) {
	t.Helper()
	if _, err := w.bb.Receive(t.Context(), "aa", envelope); fault.Reason(err) != "EQUIVOCATION" {
		t.Errorf("%v", err)
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	isQuarantined := func(t *testing.T, w *world) bool {
		t.Helper()
		partners, err := w.bb.Partners(ctx)
		if err != nil || len(partners) != 1 {
			t.Fatal(partners, err)
		}
		return partners[0].Quarantined
	}
	t.Run("is shown, and is lifted by a person whose reason stays in the log", func(t *testing.T) {
		w, out := quarantined(t)
		if !isQuarantined(t, w) {
			t.Error("it is not shown")
		}
		refuses(t, w, out[1].Envelope)
		if _, err := w.bb.LiftQuarantine(ctx, "aa", "pat", "  a test system had their key "); err != nil {
			t.Fatal(err)
		}
		if isQuarantined(t, w) {
			t.Error("it is still shown")
		}
		if _, err := w.bb.Receive(ctx, "aa", out[1].Envelope); err != nil {
			t.Error(err)
		}
		if err := w.bb.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.bb.verify(ctx); err != nil {
			t.Error(err)
		}
		entries, err := w.bb.LogEntries(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		lifted, evidence := 0, 0
		for _, entry := range entries {
			switch entry.Kind {
			case sharing.EntryEnvelopeRefused:
				evidence++
			case sharing.EntryQuarantineLifted:
				lifted++
				var lift sharing.Lift
				err := json.Unmarshal(entry.Content, &lift)
				if err != nil || lift.Person != "pat" || lift.Reason != "a test system had their key" || lift.Sequence != out[0].Sequence {
					t.Errorf("%+v, %v", lift, err)
				}
			}
		}
		if lifted != 1 || evidence != 1 {
			t.Errorf("the log has %d decisions and %d pieces of evidence", lifted, evidence)
		}
	})
	t.Run("comes back where the partner contradicts itself again", func(t *testing.T) {
		w, out := quarantined(t)
		if _, err := w.bb.LiftQuarantine(ctx, "aa", "pat", "they have explained it"); err != nil {
			t.Fatal(err)
		}
		contradict(t, w, w.forge(t, out[0].Envelope, func(h *sharing.Header) { h.PolicyRevision += "again " }))
		refuses(t, w, out[1].Envelope)
		if _, err := w.bb.LiftQuarantine(ctx, "aa", "pat", "and once more"); err != nil {
			t.Error(err)
		}
	})
	t.Run("is not lifted", func(t *testing.T) {
		w, out := waiting(t, 1)
		for name, test := range map[string]struct {
			partner sharing.StateCode
			reason  string
			want    string
		}{
			"where there is none":               {"aa", "why not", "WRONG_STATE"},
			"without a reason":                  {"aa", " \n", "INVALID_REQUEST"},
			"for a reason of any length":        {"aa", strings.Repeat("x", 2001), "INVALID_REQUEST"},
			"for a reason that is no text":      {"aa", "\xff", "INVALID_REQUEST"},
			"for a reason that cannot be kept":  {"aa", "a\x00b", "INVALID_REQUEST"},
			"from a state that is no partner":   {"zz", "why not", "NOT_FOUND"},
			"from this state, which is not one": {"bb", "why not", "NOT_FOUND"},
		} {
			if _, err := w.bb.LiftQuarantine(ctx, test.partner, "pat", test.reason); fault.Reason(err) != test.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.bb.Receive(ctx, "aa", out[0].Envelope); err != nil {
			t.Error(err)
		}
	})
}
