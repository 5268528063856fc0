package partner_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// ended reports whether a stream is over.
func ended(stream <-chan struct{}) bool {
	select {
	case <-stream:
		return true
	default:
		return false
	}
}

// believes reports whether the exchange answers the one who shows the files.
func (s *state) believes(files mtlstest.Files) bool {
	s.t.Helper()
	answered, _ := knock(s.t, s.exchange, files, nil)
	return answered > 0
}

// complains waits until the state says what is wrong with its lists; "": nothing is.
func (s *state) complains(why string) {
	s.t.Helper()
	eventually(s.t, "it says that "+why, func() bool {
		err := s.keeper.Err()
		return why == "" && err == nil || why != "" && err != nil && strings.Contains(err.Error(), why)
	})
}

func TestRevocationListThatIsMissingExpiredOlderOrOfAnotherAuthorityLeavesTheLastGoodOneUntilItsGraceIsOver(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	path := filepath.Join(aa.crls, "bb.crl")
	list := func(by *mtlstest.Authority, number int64, next time.Time, revoked ...mtlstest.Files) {
		put(t, path, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: by.CRL(number, next, revoked)}))
	}
	good, stolen := bb.authority.Issue("sharing"), bb.authority.Issue("sharing")
	later := time.Now().Add(time.Hour)

	aa.next(func(l *sharing.TrustList) { l.States[1].CRL = &sharing.CRLPolicy{GraceHours: 1} })
	aa.start()
	aa.complains("there is no revocation list of bb")
	if aa.believes(good) {
		t.Error("it believes a state whose revocation lists it never saw")
	}
	list(bb.authority, 5, later, stolen)
	aa.complains("")
	stream := hold(t, aa, good)
	keeps := func(what string) {
		t.Helper()
		if !aa.believes(good) || aa.believes(stolen) || ended(stream) {
			t.Errorf("with a list %s the last good one does not count", what)
		}
	}
	keeps("that is good")

	must(t, os.Remove(path))
	aa.complains("no such file")
	keeps("that is missing")
	list(mtlstest.NewAuthority(t, "bb"), 6, later)
	aa.complains("no authority of the state has signed it")
	keeps("by another authority")
	list(bb.authority, 4, later)
	aa.complains("older than number 5")
	keeps("that is older than the last seen")
	list(bb.authority, 5, later)
	aa.complains("another one than that of this number")
	keeps("of the same number with other content")
	put(t, path, []byte("nothing"))
	aa.complains("the revocation list")
	keeps("that is garbage")
	list(bb.authority, 6, time.Now().Add(-30*time.Minute), stolen)
	aa.complains("successor of revocation list number 6")
	keeps("that has expired, within the grace")

	aa.halt()
	list(bb.authority, 4, later)
	aa.start()
	stream = hold(t, aa, good)
	keeps("that came back with a restart")

	over := time.Now().Add(3 * time.Second).Truncate(time.Second)
	list(bb.authority, 7, over.Add(-time.Hour), stolen)
	eventually(t, "the stream is cut when the grace is over", func() bool { return ended(stream) })
	t.Logf("the live stream was cut %s after the grace", time.Since(over))
	if aa.believes(good) {
		t.Error("it believes a state whose last revocation list has ended, after the grace")
	}
	aa.complains("has ended")
	list(bb.authority, 8, later, stolen)
	aa.complains("")
	stream = hold(t, aa, good)
	began := time.Now()
	list(bb.authority, 9, later, stolen, good)
	eventually(t, "the stream of a certificate on a new list is cut", func() bool { return ended(stream) })
	t.Logf("the live stream was cut %s after the list was there", time.Since(began))
	if aa.believes(good) {
		t.Error("it believes a certificate on the list")
	}

	next := mtlstest.NewAuthority(t, "bb")
	list(bb.authority, 10, time.Now().Add(-30*time.Minute))
	aa.complains("successor of revocation list number 10")
	aa.next(func(l *sharing.TrustList) { l.States[1].Roots = string(next.Certificate()) })
	list(next, 1, later)
	aa.complains("") // nobody waits for a list of the authority before
	if !aa.believes(next.Issue("sharing")) {
		t.Error("it does not believe the next authority")
	}
}

func TestConnectionIsCutOnceItsCertificateExpires(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	end := time.Now().Add(4 * time.Second).Truncate(time.Second)
	stays := hold(t, aa, bb.authority.Issue("sharing"))
	stream := hold(t, aa, bb.authority.Issue("sharing", mtlstest.Valid(end.Add(-time.Hour), end)))
	eventually(t, "the stream of a certificate that has expired is cut", func() bool { return ended(stream) })
	took := time.Since(end)
	if took < 0 {
		t.Errorf("it was cut %s before its certificate expired", -took)
	}
	t.Logf("the live stream was cut %s after its certificate expired", took)
	if ended(stays) {
		t.Error("the stream of another certificate was cut with it")
	}
}

func TestReadCRLs(t *testing.T) {
	t.Parallel()
	us := mtlstest.NewAuthority(t, "us")
	between := us.Intermediate(true)
	text, err := os.ReadFile(us.Root)
	must(t, err)
	roots, later := string(text), time.Now().Add(time.Hour)
	files := us.Issue("sharing")
	in := func(lists ...[]byte) []byte {
		var all []byte
		for _, der := range lists {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
		}
		return all
	}
	extended := func(id asn1.ObjectIdentifier, critical bool) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: id, Critical: critical, Value: []byte{5, 0}}}
		}
	}
	first := us.CRL(1, later, []mtlstest.Files{files})
	for name, test := range map[string]struct {
		data []byte
		want []string // the numbers of the lists that count
		why  string   // what is wrong
	}{
		"reads PEM":                          {in(first), []string{"1"}, ""},
		"reads DER":                          {first, []string{"1"}, ""},
		"reads those of several authorities": {slices.Concat(in(first), between.Certificate(), in(between.CRL(7, later, nil))), []string{"1", "7"}, ""},
		"refuses that of an intermediate which is not there": {
			in(first, between.CRL(7, later, nil)), []string{"1"}, "no authority of the state",
		},
		"refuses that of an intermediate which is no authority": {
			slices.Concat(us.Intermediate(false).Certificate(), in(first)), []string{"1"}, "none of an authority of the state",
		},
		"refuses one of another authority of that name": {in(mtlstest.NewAuthority(t, "us").CRL(1, later, nil)), nil, "no authority of the state"},
		"refuses one of a time to come": {in(us.CRL(1, later, nil, func(l *x509.RevocationList) {
			l.ThisUpdate = time.Now().Add(30 * time.Minute)
		})), nil, "still to come"},
		"refuses a delta": {in(us.CRL(2, later, nil, extended(asn1.ObjectIdentifier{2, 5, 29, 27}, true))), nil, "critical and not understood"},
		"passes over an extension that does not matter": {in(us.CRL(2, later, nil, extended(asn1.ObjectIdentifier{1, 2, 3}, false))), []string{"2"}, ""},
		"refuses what is no list":                       {[]byte("hello"), nil, "the revocation list"},
		"refuses half of one":                           {in(first[:len(first)/2]), nil, "revocation list 1"},
		"refuses an empty file":                         {nil, nil, "the revocation list"},
		"refuses a file with certificates alone":        {between.Certificate(), nil, "there is no revocation list"},
	} {
		t.Run(name, func(t *testing.T) {
			lists, err := partner.ReadCRLs(test.data, roots, time.Now())
			var numbers []string
			for _, list := range lists {
				numbers = append(numbers, list.Number.String())
			}
			if !slices.Equal(numbers, test.want) || (err == nil) != (test.why == "") || err != nil && !strings.Contains(err.Error(), test.why) {
				t.Errorf("it reads %v and says %v", numbers, err)
			}
		})
	}
}

func TestStreamsAreCutOnceTheTrustListHasEnded(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	files := bb.authority.Issue("sharing")
	stream := hold(t, aa, files)
	end := time.Now().Add(4 * time.Second).Truncate(time.Second)
	aa.next(func(l *sharing.TrustList) { l.Expires = end })
	eventually(t, "the stream is cut", func() bool { return ended(stream) })
	if early := time.Until(end); early > 0 {
		t.Errorf("it was cut %s before the list ended", early)
	}
	if aa.believes(files) {
		t.Error("it believes a partner by a list that has ended")
	}
	aa.complains("has ended: no partner is believed")
	aa.next(func(l *sharing.TrustList) { l.Expires = time.Now().Add(time.Hour) })
	eventually(t, "a next list counts", func() bool { return aa.believes(files) })
}

func TestReloadReadsFilesThatSeemToBeAsTheyWere(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	path, files, then := filepath.Join(aa.crls, "bb.crl"), bb.authority.Issue("sharing"), time.Now().Add(-time.Hour)
	list := func(number int64, revoked ...mtlstest.Files) {
		text := make([]byte, 4096) // as long as the other
		copy(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: bb.authority.CRL(number, time.Now().Add(time.Hour), revoked)}))
		must(t, os.WriteFile(path+".new", text, 0o600))
		must(t, os.Chtimes(path+".new", then, then))
		must(t, os.Rename(path+".new", path))
	}
	list(1)
	aa.next(func(l *sharing.TrustList) { l.States[1].CRL = &sharing.CRLPolicy{} })
	aa.start()
	if !aa.believes(files) {
		t.Fatal("it does not believe a certificate that nobody has revoked")
	}
	list(2, files)
	aa.keeper.Reload()
	eventually(t, "the later list counts", func() bool { return !aa.believes(files) })
}
