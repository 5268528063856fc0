package sharing_test

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// officers puts officers on the trust list that all states of the world go by, who sign in twos, and returns their keys.
func (w *world) officers(t *testing.T, names ...string) []ed25519.PrivateKey {
	t.Helper()
	list := *w.aa.Trust.List()
	list.Threshold, list.Officers = 2, nil
	keys := make([]ed25519.PrivateKey, len(names))
	for i, name := range names {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = private
		list.Officers = append(list.Officers, sharing.Officer{Name: name, ID: sharing.KeyID(public), PublicKey: public})
	}
	for _, s := range append([]*state{w.aa, w.bb}, w.others...) {
		s.Trust.Replace(&list)
	}
	return keys
}

// forked returns a world in which aa was restored from a backup after bb had seen more of its log, and has shown it since.
func forked(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	deliver := func(value float64) {
		t.Helper()
		w.aa.figures.set(watched, value)
		w.catchUp(t, value)
	}
	deliver(500)
	must(t)(nil, w.show(t.Context()))
	restore := w.aa.backUp(t)
	deliver(600)
	deliver(700)
	must(t)(nil, w.show(t.Context()))
	w.pass(time.Hour)
	restore()
	deliver(800)
	if err := w.show(t.Context()); fault.Reason(err) != "EQUIVOCATION" {
		t.Fatalf("the log that was restored: %v", err)
	}
	return w
}

// fork returns how the log of aa stands at bb; nil: it extends what was seen.
func (w *world) fork(t *testing.T) *sharing.Fork {
	t.Helper()
	partners, err := w.bb.Partners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return partners[0].Fork
}

// acceptance returns that bb accepts the log of aa as it is, signed with the keys.
func (w *world) acceptance(t *testing.T, keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	fork := w.fork(t)
	if fork == nil {
		t.Fatal("there is no fork")
	}
	a, err := sharing.NewAcceptance("aa", *fork, "restored after a fire", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		a.Sign(key)
	}
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAcceptLog(t *testing.T) {
	t.Parallel()
	w := forked(t)
	ctx := t.Context()
	keys := w.officers(t, "A. Jones", "B. Okafor", "C. Silva")
	forks := func(t *testing.T) (shown, objected bool) {
		t.Helper()
		ours, err := w.aa.Partners(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return w.fork(t) != nil, ours[0].Objection != ""
	}
	audit := func(t *testing.T) (string, error) {
		t.Helper()
		if err := w.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		seen := slices.Concat(w.aa.seen(t), w.bb.seen(t))
		problems := sharing.SplitViews(w.aa.Trust.List(), seen)
		return strings.Join(problems, "; "), against(t, w.aa, seen)
	}

	t.Run("is called for where both sides can see why", func(t *testing.T) {
		if shown, objected := forks(t); !shown || !objected {
			t.Errorf("bb sees a fork: %v; aa sees an objection: %v", shown, objected)
		}
		if _, err := audit(t); err == nil {
			t.Error("the log is verified against what was seen of another")
		}
	})
	t.Run("is refused", func(t *testing.T) {
		_, stranger, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		fork := *w.fork(t)
		other := func(change func(*sharing.Fork) sharing.StateCode) []byte {
			changed := fork
			log := change(&changed)
			a, err := sharing.NewAcceptance(log, changed, "why", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			a.Sign(keys[0])
			a.Sign(keys[1])
			data, err := a.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		for name, test := range map[string]struct {
			data []byte
			want string
		}{
			"without a signature":             {w.acceptance(t), "UNTRUSTED_SIGNER"},
			"with one officer's":              {w.acceptance(t, keys[0], keys[0]), "UNTRUSTED_SIGNER"},
			"with a stranger's":               {w.acceptance(t, keys[0], stranger), "UNTRUSTED_SIGNER"},
			"changed after it was signed":     {[]byte(strings.Replace(string(w.acceptance(t, keys[:2]...)), `"payload": "e`, `"payload": "f`, 1)), "INVALID_REQUEST"},
			"of another state":                {other(func(f *sharing.Fork) sharing.StateCode { f.State = "cc"; return "aa" }), "INVALID_REQUEST"},
			"of another log":                  {other(func(*sharing.Fork) sharing.StateCode { return "bb" }), "INVALID_REQUEST"},
			"of no checkpoint":                {other(func(f *sharing.Fork) sharing.StateCode { f.Shown = "x"; return "aa" }), "INVALID_REQUEST"},
			"of the checkpoint that was seen": {other(func(f *sharing.Fork) sharing.StateCode { f.Shown = f.Seen; return "aa" }), "INVALID_REQUEST"},
			"the other way round":             {other(func(f *sharing.Fork) sharing.StateCode { f.Seen, f.Shown = f.Shown, f.Seen; return "aa" }), "WRONG_STATE"},
			"as garbage":                      {[]byte("{"), "INVALID_REQUEST"},
		} {
			t.Run(name, func(t *testing.T) {
				if _, err := w.bb.AcceptLog(ctx, "aa", test.data, "pat"); fault.Reason(err) != test.want {
					t.Errorf("%v, not %s", err, test.want)
				}
			})
		}
		if _, err := sharing.NewAcceptance("aa", fork, " ", time.Now()); err == nil {
			t.Error("one without a reason is made")
		}
		if shown, _ := forks(t); !shown {
			t.Error("the fork is over")
		}
	})
	signed := w.acceptance(t, keys[0], keys[2])
	t.Run("by two officers lets the log go on, also once it has grown, and both have it in theirs", func(t *testing.T) {
		w.aa.figures.set(watched, 900) // meanwhile
		w.catchUp(t, 900)
		accepted, err := w.bb.AcceptLog(ctx, "aa", signed, "pat")
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"A. Jones", "C. Silva"}; !slices.Equal(accepted.Officers, want) || accepted.SeenSize == accepted.FromSize {
			t.Errorf("%+v", accepted)
		}
		must(t)(nil, w.aa.Steps()[1](ctx))
		must(t)(nil, w.show(ctx))
		if shown, objected := forks(t); shown || objected {
			t.Errorf("bb sees a fork: %v; aa sees an objection: %v", shown, objected)
		}
		must(t)(nil, w.bb.Steps()[1](ctx))
		must(t)(w.bb.verify(ctx))
		split, err := audit(t)
		if split != "" || err != nil {
			t.Errorf("%s, %v", split, err)
		}
		said := sharing.Acceptances(w.aa.Trust.List(), w.bb.seen(t))
		if len(said) != 1 || !strings.Contains(said[0], "accepted by A. Jones and C. Silva") || !strings.Contains(said[0], "restored after a fire") {
			t.Errorf("%q", said)
		}
	})
	t.Run("counts once", func(t *testing.T) {
		if _, err := w.bb.AcceptLog(ctx, "aa", signed, "pat"); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
	})
	t.Run("counts for auditors who trust the officers alone", func(t *testing.T) {
		list := *w.aa.Trust.List()
		list.Officers = list.Officers[:2]
		seen := w.bb.seen(t)
		if said := sharing.Acceptances(&list, seen); len(said) != 0 {
			t.Errorf("%q", said)
		}
		if err := againstBy(t, w.aa, &list, seen); err == nil {
			t.Error("the log is verified")
		}
	})
	t.Run("excuses nothing that was seen later", func(t *testing.T) {
		seen := w.bb.seen(t)
		for i := range seen {
			seen[i].Created = seen[i].Created.Add(time.Duration(len(seen)-i) * time.Hour)
		}
		if err := against(t, w.aa, seen); err == nil {
			t.Error("the log is verified against what was seen of another")
		}
	})
}
