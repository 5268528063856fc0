package sharing_test

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// smuggle returns an envelope that aa has signed over the rows, "M,AA,1A,NORTH,SYR,_T,2023-01", each with the value; with
// another component where it is not "".
func (w *world) smuggle(t *testing.T, envelope []byte, component string, value float64, rows ...string) []byte {
	t.Helper()
	var names []string
	for _, d := range structures().Dimensions {
		names = append(names, d.ID)
	}
	names = append(names, block.TimePeriod)
	if component != "" {
		names = append(names, component)
	}
	builder := block.NewBuilder(names, []string{block.ObsValue})
	for _, row := range rows {
		codes := strings.Split(row, ",")
		if component != "" {
			codes = append(codes, "X1234567")
		}
		builder.Append(codes, []float64{value})
	}
	payload, err := w.aa.Codec.EncodePayload(builder.Block())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := w.aa.Codec.DecodeEnvelope(envelope)
	if err != nil {
		t.Fatal(err)
	}
	opened.Payload = payload
	data, err := w.aa.Codec.EncodeEnvelope(opened)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	release := sha256.Sum256(sum[:])
	return w.forge(t, data, func(h *sharing.Header) { h.PayloadSHA256, h.ReleaseSHA256, h.Scope = sum[:], release[:], filter.True() })
}

// logged returns the contents of the entries of a kind in a log.
func (s *state) logged(t *testing.T, kind sharing.EntryKind) [][]byte {
	t.Helper()
	if err := s.Steps()[1](t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := s.LogEntries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var contents [][]byte
	for _, entry := range entries {
		if entry.Kind == kind {
			contents = append(contents, entry.Content)
		}
	}
	return contents
}

func TestBoundary(t *testing.T) {
	t.Parallel()
	t.Run("a personal-data-shaped field, a cell under the threshold: blocked at send, and logged", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.withPolicies(t, "package comity.law\n")
		w.newFigures() // with cells of 1 and 2
		w.aa.figures.personal = "PASSPORT_NUMBER"
		w.agree(t, w.terms())
		sent := w.aa.logged(t, sharing.EntryEnvelopeSent)
		if len(sent) != 1 {
			t.Fatalf("%d envelopes went", len(sent))
		}
		envelope, err := w.aa.Codec.DecodeEnvelope(sent[0])
		if err != nil {
			t.Fatal(err)
		}
		content, err := w.aa.Codec.DecodePayload(envelope.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if content.Column("PASSPORT_NUMBER") != nil || bytes.Contains(sent[0], []byte("X1234567")) {
			t.Error("the field went")
		}
		withheld := 0
		for i, value := range content.Column(block.ObsValue).Numbers {
			if math.IsNaN(value) {
				withheld++
			} else if value > 0 && value < 3 {
				t.Errorf("row %d went with %v", i, value)
			}
		}
		releases := w.aa.logged(t, sharing.EntryRelease)
		if withheld == 0 || len(releases) != 1 || !bytes.Contains(releases[0], []byte(`"rules":{"A":`)) {
			t.Errorf("%d are withheld, and the log has %s", withheld, releases)
		}
	})
	for name, test := range map[string]struct {
		component string
		value     float64
		row, want string
	}{
		"a personal-data-shaped field: blocked at receive, and logged":                     {"PASSPORT_NUMBER", 40, "M,AA,1A,NORTH,SYR,_T,2023-01", "PASSPORT_NUMBER"},
		"a cell under the threshold: blocked at receive, and logged":                       {"", 2, "M,AA,1A,NORTH,SYR,_T,2023-01", "under the minimum"},
		"figures of another state that nobody may pass on: blocked at receive, and logged": {"", 40, "M,BB,1A,NORTH,SYR,_T,2023-01", "does not speak for reference area BB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, out := waiting(t, 1)
			w.withPolicies(t, "package comity.law\n")
			before := w.bb.figures.count()
			_, err := w.bb.Receive(t.Context(), "aa", w.smuggle(t, out[0].Envelope, test.component, test.value, test.row))
			if fault.Reason(err) != "RECEIVE_REFUSED" || !strings.Contains(err.Error(), test.want) {
				t.Fatal(err)
			}
			if err := w.bb.Steps()[2](t.Context()); err != nil {
				t.Fatal(err)
			}
			if refused := w.bb.logged(t, sharing.EntryEnvelopeRefused); len(refused) != 1 || w.bb.figures.count() != before {
				t.Errorf("%d are logged, %d figures are stored", len(refused), w.bb.figures.count())
			}
		})
	}
	t.Run("correction, then the late original: the newest revision wins by number, and both are kept", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		const cell = "M,AA,1A,EAST,AFG,_T,2024-05"
		for _, value := range []float64{500, 510} { // the original, and its correction
			w.aa.figures.set(cell, value)
			for _, step := range w.aa.Steps()[:2] {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		out := w.next(t)
		if len(out) != 2 {
			t.Fatalf("%d wait", len(out))
		}
		if _, err := w.bb.Receive(t.Context(), "aa", out[1].Envelope); fault.Reason(err) != "OUT_OF_SEQUENCE" {
			t.Errorf("the correction came first: %v", err)
		}
		var receipts []sharing.Signed
		for _, i := range []int{0, 1, 0} { // and the original once more, late
			receipt, err := w.bb.Receive(t.Context(), "aa", out[i].Envelope)
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, receipt)
		}
		if !bytes.Equal(receipts[0].Payload, receipts[2].Payload) {
			t.Error("the late original has another receipt")
		}
		for range 2 {
			if err := w.bb.Steps()[2](t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.bb.figures.received[cell]; got != 510 {
			t.Errorf("%v is stored", got)
		}
		deliveries, _, err := w.bb.Deliveries(t.Context(), sharing.Page{})
		if err != nil {
			t.Fatal(err)
		}
		stored := slices.DeleteFunc(deliveries, func(d sharing.Delivery) bool { return d.State != sharing.Stored })
		if len(stored) != 3 || len(w.bb.figures.submitted) != 3 { // with the first table
			t.Errorf("%d releases are stored, %v", len(stored), w.bb.figures.submitted)
		}
	})
}
