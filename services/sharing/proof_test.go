package sharing_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// proved returns a world in which aa has sent two envelopes to bb, which has receipted the first and co-signed the log,
// and the place of the first.
func proved(t *testing.T) (*world, sharing.Cursor) {
	t.Helper()
	ctx := t.Context()
	w, out := waiting(t, 2)
	receipt, err := w.bb.Receive(ctx, "aa", out[0].Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.aa.AcceptReceipt(ctx, "bb", receipt); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*state{w.aa, w.bb} {
		if err := s.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint, old, path, err := w.aa.WitnessOffer(ctx, "bb")
	if err != nil {
		t.Fatal(err)
	}
	cosigned, seen, err := w.bb.Witness(ctx, "aa", checkpoint, old, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.aa.Cosigned(ctx, "bb", cosigned, seen); err != nil {
		t.Fatal(err)
	}
	at, err := w.bb.Cursor(ctx, "aa")
	if err != nil {
		t.Fatal(err)
	}
	return w, at
}

func TestProof(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, at := proved(t)
	proof := func(t *testing.T, s *state, figures bool) sharing.Proof {
		t.Helper()
		p, err := s.Proof(ctx, at, figures)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, test := range map[string]struct {
		of        *state
		figures   bool
		witnesses []sharing.StateCode
		entries   int
	}{
		"proves what was sent":                   {w.aa, false, []sharing.StateCode{"bb"}, 7},
		"proves what was sent, with its figures": {w.aa, true, []sharing.StateCode{"bb"}, 7},
		"proves what was received":               {w.bb, false, nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			p := proof(t, test.of, test.figures)
			proven, err := p.Verify(w.aa.Trust.List(), w.aa.Codec)
			if err != nil {
				t.Fatal(err)
			}
			if proven.Receipt == nil || proven.Figures != test.figures || proven.Header.Sender != "aa" || len(p.Entries) != test.entries {
				t.Errorf("%+v of %d entries", proven, len(p.Entries))
			}
			if diff := cmp.Diff(test.witnesses, proven.Witnesses); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("leaves figures out unless they are asked for", func(t *testing.T) {
		with, without := proof(t, w.aa, true), proof(t, w.aa, false)
		envelope, err := w.aa.Codec.DecodeEnvelope(with.Entries[5].Content)
		if err != nil || len(envelope.Payload) == 0 {
			t.Fatal(err)
		}
		for _, entry := range without.Entries {
			if bytes.Contains(entry.Content, envelope.Payload) {
				t.Errorf("%s %s has them", entry.Kind, entry.Subject)
			}
		}
	})
	t.Run("proves an envelope before its receipt, and says that there is none", func(t *testing.T) {
		next := at
		next.Sequence++
		p, err := w.aa.Proof(ctx, next, false)
		if err != nil {
			t.Fatal(err)
		}
		if proven, err := p.Verify(w.aa.Trust.List(), w.aa.Codec); err != nil || proven.Receipt != nil {
			t.Errorf("%+v, %v", proven, err)
		}
	})
	t.Run("knows no delivery that is not in the log", func(t *testing.T) {
		for _, where := range []sharing.Cursor{
			{},
			{Stream: at.Stream, Epoch: at.Epoch, Sequence: 99},
			{Stream: at.Stream, Epoch: "garbage", Sequence: 1},
			{Stream: "bb-cc", Epoch: at.Epoch, Sequence: 1},
			{Stream: "aa-\x00", Epoch: at.Epoch, Sequence: 1},
			{Stream: at.Stream + "-aa", Epoch: at.Epoch, Sequence: 1},
		} {
			if _, err := w.aa.Proof(ctx, where, false); !fault.Is(err, fault.NotFound) {
				t.Errorf("%+v: %v", where, err)
			}
		}
	})
	t.Run("names the first thing that is wrong", func(t *testing.T) {
		other, otherAt := proved(t)
		foreign, err := other.aa.Proof(ctx, otherAt, false)
		if err != nil {
			t.Fatal(err)
		}
		next := at
		next.Sequence++
		second, err := w.aa.Proof(ctx, next, false)
		if err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			change func(*sharing.Proof)
			part   string
		}{
			"a checkpoint by another key":       {func(p *sharing.Proof) { p.Checkpoint = foreign.Checkpoint }, "the checkpoint"},
			"a checkpoint that is cut":          {func(p *sharing.Proof) { p.Checkpoint = p.Checkpoint[:20] }, "the checkpoint"},
			"another state's name":              {func(p *sharing.Proof) { p.State = "bb" }, "the checkpoint"},
			"a state that nobody trusts":        {func(p *sharing.Proof) { p.State = "zz" }, "the checkpoint"},
			"an agreement that was changed":     {func(p *sharing.Proof) { p.Entries[0].Content[9] ^= 1 }, "agreement " + subjectOf(proof(t, w.aa, false), 0)},
			"a decision that was changed":       {func(p *sharing.Proof) { p.Entries[3].Content[9] ^= 1 }, "decision " + subjectOf(proof(t, w.aa, false), 3)},
			"a header that was changed":         {func(p *sharing.Proof) { p.Entries[5].Header[40] ^= 1 }, "envelope sent " + placeOf(at)},
			"the header of another envelope":    {func(p *sharing.Proof) { p.Entries[5].Header = second.Entries[5].Header }, "envelope sent " + placeOf(at)},
			"the envelope of another place":     {func(p *sharing.Proof) { p.Entries[5] = second.Entries[5] }, "envelope sent " + placeOf(next)},
			"a signature that is missing":       {func(p *sharing.Proof) { p.Entries = slices.Delete(p.Entries, 2, 3) }, "agreement " + subjectOf(proof(t, w.aa, false), 2)},
			"an entry of another log":           {func(p *sharing.Proof) { p.Entries[3] = foreign.Entries[3] }, "decision " + subjectOf(foreign, 3)},
			"an entry that stands twice":        {func(p *sharing.Proof) { p.Entries = append(p.Entries, p.Entries[6]) }, "receipt received " + placeOf(at)},
			"another place in the log":          {func(p *sharing.Proof) { p.Entries[6].Index-- }, "receipt received " + placeOf(at)},
			"a place after the end of the log":  {func(p *sharing.Proof) { p.Entries[6].Index = 1 << 40 }, "receipt received " + placeOf(at)},
			"a place before the log":            {func(p *sharing.Proof) { p.Entries[6].Index = -1 }, "receipt received " + placeOf(at)},
			"a path with half a hash":           {func(p *sharing.Proof) { p.Entries[6].Inclusion[0] = p.Entries[6].Inclusion[0][:16] }, "receipt received " + placeOf(at)},
			"a receipt without its content":     {func(p *sharing.Proof) { p.Entries[6].Content = nil }, "receipt received " + placeOf(at)},
			"a log that its witness never saw":  {func(p *sharing.Proof) { p.Witnesses[0].Consistency = [][]byte{make([]byte, 32)} }, "the co-signature of bb"},
			"a witness that nobody trusts":      {func(p *sharing.Proof) { p.Witnesses[0].State = "zz" }, "the co-signature of zz"},
			"a co-signature by the state alone": {func(p *sharing.Proof) { p.Witnesses[0].Cosigned = p.Checkpoint }, "the co-signature of bb"},
			"nothing but a checkpoint":          {func(p *sharing.Proof) { p.Entries = nil }, "the envelope"},
		} {
			t.Run(name, func(t *testing.T) {
				p := proof(t, w.aa, false)
				test.change(&p)
				_, err := p.Verify(w.aa.Trust.List(), w.aa.Codec)
				if bad := (*sharing.ProofError)(nil); !errors.As(err, &bad) || bad.Part != test.part || bad.Meaning == "" {
					t.Errorf("%v, want one about %s", err, test.part)
				}
			})
		}
	})
	t.Run("withstands bytes that are flipped anywhere", func(t *testing.T) {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 1))
			p := proof(t, w.aa, seed%2 == 0)
			entry := &p.Entries[random.IntN(len(p.Entries))]
			fields := [][]byte{entry.Content, entry.Header, entry.Salt, entry.ContentSHA256}
			fields = append(fields, entry.Inclusion...)
			field := fields[random.IntN(len(fields))]
			if len(field) == 0 {
				continue
			}
			field[random.IntN(len(field))] ^= byte(1 + random.IntN(255))
			if _, err := p.Verify(w.aa.Trust.List(), w.aa.Codec); err == nil {
				t.Errorf("seed %d: not found", seed)
			}
		}
	})
}

// subjectOf returns the subject of an entry of a proof.
func subjectOf(p sharing.Proof, i int) string { return p.Entries[i].Subject }

func placeOf(at sharing.Cursor) string {
	return fmt.Sprintf("%s/%s/%d", at.Stream, at.Epoch, at.Sequence)
}

func TestCosignedLog(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, _ := proved(t)
	all, err := w.aa.CosignedCheckpoints(ctx)
	if err != nil || all["bb"] == "" {
		t.Fatal(all, err)
	}
	// verify checks the first entries of a log against a checkpoint that bb is said to have co-signed.
	verify := func(t *testing.T, s *state, cosigned string, most int) error {
		t.Helper()
		checkpoint := mustCheckpoint(t, s)
		entries, err := s.LogEntries(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if most < len(entries) {
			entries = entries[:most]
		}
		_, err = sharing.Verify(ctx, w.aa.Trust.List(), w.aa.Codec, sharing.Log{
			State: "aa", Checkpoint: checkpoint, VerifierKey: w.aa.Keys.Current().LogVerifier, Cosigned: map[sharing.StateCode]string{"bb": cosigned},
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
	t.Run("is verified against what the partner has seen", func(t *testing.T) {
		if err := verify(t, w.aa, all["bb"], 1000); err != nil {
			t.Error(err)
		}
	})
	t.Run("is found where somebody with its keys wrote it anew", func(t *testing.T) {
		other := newWorld(t)
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		for i := range 20 {
			terms := w.terms()
			terms.ID += sharing.AgreementID(fmt.Sprintf("-%d", i))
			if _, err := other.aa.Draft(ctx, terms); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		if err := verify(t, other.aa, mustCheckpoint(t, w.bb), 1000); err == nil {
			t.Error("another log's checkpoint was taken")
		}
		err := verify(t, other.aa, all["bb"], 1000)
		if err == nil || !strings.Contains(err.Error(), "that bb has co-signed has another root") {
			t.Errorf("%v", err)
		}
	})
	t.Run("is found where it was restored from before the partner saw it", func(t *testing.T) {
		older := newWorld(t)
		older.aa.Service = sharing.New(older.withKeys(w.aa))
		if _, err := older.aa.Draft(ctx, w.terms()); err != nil {
			t.Fatal(err)
		}
		if err := older.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		err := verify(t, older.aa, all["bb"], 1000)
		if bad := (*sharing.BadEntryError)(nil); !errors.As(err, &bad) || bad.Index != 1 {
			t.Errorf("%v", err)
		}
	})
	t.Run("is not taken for co-signed where the partner's signature is missing", func(t *testing.T) {
		if err := verify(t, w.aa, mustCheckpoint(t, w.aa), 1000); err == nil {
			t.Error("it was")
		}
	})
	t.Run("is found where its end is gone", func(t *testing.T) {
		err := verify(t, w.aa, all["bb"], 3)
		if bad := (*sharing.BadEntryError)(nil); !errors.As(err, &bad) || bad.Index != 3 {
			t.Errorf("%v", err)
		}
	})
}
