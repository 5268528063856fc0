package policy

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/comity-federation/comity/services/fault"
)

// publisher makes signed bundles, and has a node that reads them.
type publisher struct {
	t    *testing.T
	key  ed25519.PrivateKey
	from Bundled
	now  atomic.Int64 // seconds that the clock is ahead
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{t: t}
	home := t.TempDir()
	p.from = Bundled{
		File: filepath.Join(home, "policies.tar.gz"), Keys: []string{filepath.Join(home, "key.pem")}, Kept: filepath.Join(home, "kept", "last.tar.gz"),
		Now: func() time.Time { return time.Now().Add(time.Duration(p.now.Load()) * time.Second) },
	}
	var public ed25519.PublicKey
	var err error
	if public, p.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.trust(public)
	return p
}

// trust makes the keys those that the node knows.
func (p *publisher) trust(keys ...ed25519.PublicKey) {
	p.t.Helper()
	var text []byte
	for _, key := range keys {
		encoded, err := EncodeKey(key)
		if err != nil {
			p.t.Fatal(err)
		}
		text = append(text, encoded...)
	}
	put(p.t, p.from.Keys[0], string(text))
}

// answering are policies whose answer is as given, with a test of that.
func answering(t *testing.T, answer string) []string {
	return []string{
		directory(t, map[string]string{
			"x/x.rego": "package x\nanswer := data.x_data.number\n", "x_data/data.yaml": "number: 0\nlist: [1]",
			"x/x_test.rego": "package x_test\nimport data.x\ntest_it if x.answer == 0",
		}),
		directory(t, map[string]string{
			"x_data/data.yaml": "number: " + answer + "\nlist: [2]",
			"y/y_test.rego":    "package y_test\nimport data.x\ntest_it if x.answer > 0\ntest_list if data.x_data.list == [1, 2]",
		}),
	}
}

// unsigned returns a bundle with the answer.
func (p *publisher) unsigned(answer string, revision int64, notAfter time.Time) []byte {
	p.t.Helper()
	data, err := Build(answering(p.t, answer), revision, notAfter)
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

func (p *publisher) sign(data []byte) []byte {
	p.t.Helper()
	signed, err := Sign(data, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return signed
}

func (p *publisher) bundle(answer string, revision int64) []byte {
	return p.sign(p.unsigned(answer, revision, time.Now().Add(time.Hour)))
}

func (p *publisher) publish(data []byte) {
	p.t.Helper()
	put(p.t, p.from.File, string(data))
}

func (p *publisher) open() *Engine {
	p.t.Helper()
	e, err := OpenBundled(p.t.Context(), p.from, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func TestSignedBundle(t *testing.T) {
	p := newPublisher(t)
	p.publish(p.bundle("7", 3))
	e := p.open()
	if err := e.Err(); err != nil || evaluate[int](t, e, "data.x.answer", nil) != 7 {
		t.Fatalf("it is not active: %v", err)
	}
	t.Run("a later one takes its place while the engine runs, and keeps what was supplied", func(t *testing.T) {
		if err := e.SetData(t.Context(), "agreements", 5); err != nil {
			t.Fatal(err)
		}
		first := e.Revision()
		p.publish(p.bundle("8", 4))
		if err := e.reload(t.Context()); err != nil || e.Revision() == first {
			t.Fatalf("%v", err)
		}
		if evaluate[int](t, e, "data.x.answer", nil) != 8 || evaluate[int](t, e, "data.agreements", nil) != 5 {
			t.Error("the answers are of the old one")
		}
	})
	t.Run("its revision is that of its content", func(t *testing.T) {
		opened, err := OpenBundle(p.bundle("8", 9), []ed25519.PublicKey{p.key.Public().(ed25519.PublicKey)})
		if err != nil || opened.PolicyRevision() != e.Revision() || opened.Revision != 9 || opened.SignedBy != KeyID(p.key.Public().(ed25519.PublicKey)) {
			t.Errorf("%+v, %v", opened, err)
		}
	})
	t.Run("a key takes the place of another without a restart", func(t *testing.T) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		p.key = private
		p.publish(p.bundle("9", 5))
		if err := e.reload(t.Context()); err == nil || evaluate[int](t, e, "data.x.answer", nil) != 8 {
			t.Errorf("a key counts that is not known: %v", err)
		}
		p.trust(public)
		if err := e.reload(t.Context()); err != nil || evaluate[int](t, e, "data.x.answer", nil) != 9 {
			t.Errorf("the new key does not count: %v", err)
		}
	})
	t.Run("archived, it answers the same", func(t *testing.T) {
		revision, archive, err := e.Archive()
		if err != nil {
			t.Fatal(err)
		}
		again, err := OpenArchive(t.Context(), archive, slog.New(slog.DiscardHandler))
		if err != nil || again.Revision() != revision || evaluate[int](t, again, "data.x.answer", nil) != 9 {
			t.Errorf("%v", err)
		}
	})
	t.Run("that cannot be kept does not count, until it can", func(t *testing.T) {
		kept := filepath.Dir(p.from.Kept)
		if err := os.RemoveAll(kept); err != nil {
			t.Fatal(err)
		}
		put(t, kept, "no directory")
		p.publish(p.bundle("10", 6))
		if err := e.reload(t.Context()); err == nil || evaluate[int](t, e, "data.x.answer", nil) != 9 {
			t.Errorf("%v", err)
		}
		if err := os.Remove(kept); err != nil {
			t.Fatal(err)
		}
		e.again = time.Now().Add(-time.Second)
		if err := e.reload(t.Context()); err != nil || evaluate[int](t, e, "data.x.answer", nil) != 10 {
			t.Errorf("%v", err)
		}
	})
}

// repacked returns a bundle as change leaves the archive in it.
func repacked(t *testing.T, data []byte, change func([]byte) []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(change(archive)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestBundleUnsignedWrongKeyTruncatedFailingItsOwnTestsOlderOrExpired is that the last good one stays, also after a restart, and
// that readiness says so.
func TestBundleUnsignedWrongKeyTruncatedFailingItsOwnTestsOlderOrExpired(t *testing.T) {
	p := newPublisher(t)
	good := p.bundle("7", 5)
	p.publish(good)
	e := p.open()
	if e.Err() != nil {
		t.Fatal(e.Err())
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(key ed25519.PrivateKey, data []byte) []byte {
		signed, err := Sign(data, key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	hour := time.Now().Add(time.Hour)
	next := p.bundle("8", 6)
	manifest := func(revision, notAfter string) []byte {
		b, err := bundle.NewReader(bytes.NewReader(next)).WithSkipBundleVerification(true).Read()
		if err != nil {
			t.Fatal(err)
		}
		b.Manifest.Revision, b.Manifest.Metadata = revision, map[string]any{"notAfter": notAfter}
		data, err := encodeBundle(b)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"unsigned":                       {p.unsigned("8", 6, hour), "missing .signatures.json"},
		"signed by a key not known":      {signedBy(stranger, next), "verify"},
		"truncated":                      {next[:len(next)/2], "unexpected EOF"},
		"empty":                          {nil, "no gzip file"},
		"no archive":                     {[]byte("hello"), "no gzip file"},
		"with one bit of its end turned": {append(bytes.Clone(next[:len(next)-1]), next[len(next)-1]^1), "gzip"},
		"with a rule changed":            {repacked(t, next, func(b []byte) []byte { return bytes.Replace(b, []byte("answer :="), []byte("answer  ="), 1) }), "digest mismatch"},
		"with a data value changed":      {repacked(t, next, func(b []byte) []byte { return bytes.Replace(b, []byte(`"number":8`), []byte(`"number":9`), 1) }), "digest mismatch"},
		"with its time made longer":      {repacked(t, next, func(b []byte) []byte { return bytes.Replace(b, []byte(`"notAfter":"20`), []byte(`"notAfter":"21`), 1) }), "digest mismatch"},
		"failing its own tests":          {p.bundle("-1", 6), "does not hold"},
		"of an older revision":           {p.bundle("8", 4), "revision 4"},
		"other, of the same revision":    {p.bundle("8", 5), "revision 5"},
		"expired":                        {p.sign(p.unsigned("8", 6, time.Now().Add(-time.Minute))), "expired"},
		"that bursts":                    {repacked(t, next, func([]byte) []byte { return make([]byte, maxUnpacked+1) }), "unpacks to more"},
		"with a revision of words":       {manifest("later", "2999-01-01T00:00:00Z"), "missing .signatures.json"},
	} {
		t.Run(name, func(t *testing.T) {
			stays := func(e *Engine) {
				t.Helper()
				if got := e.Err(); got == nil || !strings.Contains(got.Error(), test.want) {
					t.Errorf("readiness says %v, want %q", got, test.want)
				}
				if evaluate[int](t, e, "data.x.answer", nil) != 7 {
					t.Error("the last good one did not stay")
				}
			}
			p.publish(test.data)
			_ = e.reload(t.Context())
			stays(e)
			stays(p.open())
		})
	}
	t.Run("that is gone", func(t *testing.T) {
		if err := os.Remove(p.from.File); err != nil {
			t.Fatal(err)
		}
		if _ = e.reload(t.Context()); e.Err() == nil || evaluate[int](t, e, "data.x.answer", nil) != 7 {
			t.Errorf("%v", e.Err())
		}
		if again := p.open(); again.Err() == nil || evaluate[int](t, again, "data.x.answer", nil) != 7 {
			t.Errorf("after a restart: %v", again.Err())
		}
	})
	t.Run("that expires while it is active", func(t *testing.T) {
		p.publish(good)
		if err := e.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.now.Store(2 * 3600)
		for _, e := range []*Engine{e, p.open()} {
			if _ = e.reload(t.Context()); e.Err() == nil || !strings.Contains(e.Err().Error(), "expired") || evaluate[int](t, e, "data.x.answer", nil) != 7 {
				t.Errorf("%v", e.Err())
			}
		}
		p.now.Store(0)
	})
	t.Run("mended", func(t *testing.T) {
		p.publish(next)
		if err := e.reload(t.Context()); err != nil || evaluate[int](t, e, "data.x.answer", nil) != 8 {
			t.Errorf("%v", err)
		}
	})
}

func TestWithoutAGoodBundleYetEverythingIsDenied(t *testing.T) {
	p := newPublisher(t)
	p.publish(p.unsigned("7", 1, time.Now().Add(time.Hour)))
	e := p.open()
	if e.Err() == nil || e.Revision() != "" {
		t.Errorf("readiness says %v", e.Err())
	}
	if err := e.SetData(t.Context(), "agreements", 5); err != nil {
		t.Error(err)
	}
	allowed := true
	if _, err := e.Evaluate(t.Context(), "data.x.answer", nil, &allowed); fault.Reason(err) != "POLICY_ERROR" || !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
	if f, _, err := e.Condition(t.Context(), "data.x.answer", nil, "input.cell"); fault.Reason(err) != "POLICY_ERROR" || f.Match(func(string) string { return "" }) {
		t.Errorf("%v, %v", f, err)
	}
	if _, _, err := e.Archive(); err == nil {
		t.Error("there is an archive of nothing")
	}
	p.publish(p.bundle("7", 1))
	if err := e.reload(t.Context()); err != nil || evaluate[int](t, e, "data.x.answer", nil) != 7 || evaluate[int](t, e, "data.agreements", nil) != 5 {
		t.Errorf("the first good one: %v", err)
	}
}

func TestSharedPoliciesAreOneBundle(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build([]string{shared}, 1, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Sign(built, key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Sign(signed, key)
	if err != nil || !bytes.Equal(signed, again) {
		t.Errorf("signed again it is another one: %v", err)
	}
	if _, err := OpenBundle(signed, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}); err != nil {
		t.Error(err)
	}
}
