package doctor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/doctor"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/postgres"
	"github.com/comity-federation/comity/services/sharing/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a node "aa" that is well, with a partner "bb".
type node struct {
	t        *testing.T
	cfg      doctor.Config
	pool     *pgxpool.Pool
	open     func(context.Context) (doctor.Store, error)
	list     *sharing.TrustList
	officers []ed25519.PrivateKey
	aa, bb   *mtlstest.Authority
	signing  map[sharing.StateCode]ed25519.PrivateKey
	ready    string         // what the service says is wrong; "": nothing
	partner  mtlstest.Files // that bb shows
	skew     time.Duration  // of the partner's clock
	refuses  bool           // the partner, this node
}

// exchange is the partner.
type exchange struct {
	exchangepb.UnimplementedExchangeServiceServer
	node *node
}

// Describe is of exchangepb.ExchangeServiceServer.
func (e exchange) Describe(context.Context, *exchangepb.DescribeRequest) (*exchangepb.DescribeResponse, error) {
	return &exchangepb.DescribeResponse{State: "bb", AnswerTime: timestamppb.New(time.Now().Add(e.node.skew))}, nil
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o600))
}

func newNode(t *testing.T, pool *pgxpool.Pool) *node {
	t.Helper()
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	n := &node{
		t: t, pool: pool, aa: mtlstest.NewAuthority(t, "aa"), bb: mtlstest.NewAuthority(t, "bb"),
		officers: []ed25519.PrivateKey{newKey(t), newKey(t)}, signing: map[sharing.StateCode]ed25519.PrivateKey{},
		list: &sharing.TrustList{Version: 2, Expires: time.Now().AddDate(1, 0, 0), Threshold: 2},
	}
	n.open = func(context.Context) (doctor.Store, error) { return postgres.NewStore(pool), nil }
	for i, key := range n.officers {
		n.list.Officers = append(n.list.Officers, sharing.Officer{Name: string(rune('A' + i)), ID: sharing.KeyID(public(key)), PublicKey: public(key)})
	}
	long := mtlstest.Valid(time.Now().Add(-time.Hour), time.Now().AddDate(0, 3, 0))
	n.partner = n.bb.Issue("sharing", long)
	for code, authority := range map[sharing.StateCode]*mtlstest.Authority{"aa": n.aa, "bb": n.bb} {
		key := newKey(t)
		secret, verifier, err := note.GenerateKey(rand.Reader, sharing.LogName(code))
		must(t, err)
		if n.signing[code] = key; code == "aa" {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			must(t, err)
			write(t, at("signing.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
			write(t, at("log.key"), []byte(secret))
		}
		n.list.States = append(n.list.States, sharing.TrustedState{
			Code: code, Name: string(code), Address: "127.0.0.1:1", RefAreas: []string{strings.ToUpper(string(code))}, Roots: string(authority.Certificate()),
			SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(public(key)), PublicKey: public(key)}}, LogKey: verifier,
		})
	}
	slices.SortFunc(n.list.States, func(a, b sharing.TrustedState) int { return strings.Compare(string(a.Code), string(b.Code)) })
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.ready != "" {
			http.Error(w, n.ready, http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(ops.Close)
	must(t, os.MkdirAll(at("policies"), 0o700))
	write(t, at("policies/a.rego"), []byte("package a\n\nb := 1\n"))
	own := n.aa.Issue("sharing", long)
	n.cfg = doctor.Config{
		State: "aa", OpsListen: strings.TrimPrefix(ops.URL, "http://"), Certificate: own.Certificate, Key: own.Key, Root: n.aa.Root,
		Policies: at("policies"), SigningKey: at("signing.key"), LogKey: at("log.key"), TrustList: at("trust.json"), CRLs: at("crls"),
	}
	must(t, os.MkdirAll(n.cfg.CRLs, 0o700))
	return n
}

// serve starts the partner with the certificate that it shows, and puts its address on the list.
func (n *node) serve() {
	n.t.Helper()
	pair, err := mtls.LoadPair(n.partner.Certificate, n.partner.Key)
	must(n.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(n.t, err)
	refuse := func(mtls.Identity) error {
		if n.refuses {
			return errors.New("refused")
		}
		return nil
	}
	server := grpc.NewServer(grpc.Creds(mtls.NewServer(pair, partner.Roots(sharing.NewTrust(n.list)), refuse)))
	exchangepb.RegisterExchangeServiceServer(server, exchange{node: n})
	go func() { _ = server.Serve(listener) }()
	n.t.Cleanup(server.Stop)
	n.list.States[1].Address = listener.Addr().String()
}

// sign puts the trust list in force, and into the file.
func (n *node) sign() {
	n.t.Helper()
	write(n.t, n.cfg.TrustList, n.signed(n.list, n.officers...))
	data, err := os.ReadFile(n.cfg.TrustList)
	must(n.t, err)
	_, err = n.pool.Exec(n.t.Context(), `DELETE FROM trust_list`)
	must(n.t, err)
	must(n.t, postgres.NewStore(n.pool).KeepTrustList(n.t.Context(), n.list.Version, data))
}

func (n *node) signed(list *sharing.TrustList, officers ...ed25519.PrivateKey) []byte {
	n.t.Helper()
	signed, err := sharing.NewSignedTrustList(list)
	must(n.t, err)
	for _, key := range officers {
		signed.Sign(key)
	}
	data, err := signed.Encode()
	must(n.t, err)
	return data
}

// agree keeps an agreement that both have signed, with its last day.
func (n *node) agree(validTo string) {
	n.t.Helper()
	n.empty()
	ctx, store, now := n.t.Context(), postgres.NewStore(n.pool), time.Now().UTC().Truncate(time.Microsecond)
	terms := sharing.Terms{
		ID: "aa-bb-1a", Version: 1, Provider: "aa", Receiver: "bb", Dataflow: "TEST:CROSSINGS(1.0.0)", Indicators: []string{"1A"},
		Detail: map[string]string{"FREQ": "A"}, Purposes: []string{"statistics"}, MinimumFrequency: 3, ValidFrom: "2020-01-01", ValidTo: validTo, Text: "For a test.",
	}
	document, err := terms.Document()
	must(n.t, err)
	leaf := func(subject string, content []byte) sharing.Leaf {
		sum := sha256.Sum256(content)
		return sharing.Leaf{Kind: sharing.EntryAgreement, Subject: "aa-bb-1a/1/" + subject, Created: now, Salt: make([]byte, 32), ContentSHA256: sum[:]}
	}
	must(n.t, store.Write(ctx, func(tx sharing.Tx) error {
		must(n.t, tx.AddAgreement(ctx, terms.ID, 1, document, leaf("document", document)))
		for code, key := range n.signing {
			data, err := wire.Codec{}.EncodeSigned(sharing.Signed{
				PayloadType: sharing.AgreementType, Payload: document,
				Signatures: []sharing.Signature{{KeyID: sharing.KeyID(public(key)), Signature: ed25519.Sign(key, dsse.PAE(sharing.AgreementType, document))}},
			})
			must(n.t, err)
			_, err = tx.AddSignature(ctx, terms.ID, 1, code, data, leaf("signature/"+string(code), data))
			must(n.t, err)
		}
		return nil
	}))
}

// wait keeps an envelope that has waited for the partner for so long. The agreement is there.
func (n *node) wait(age time.Duration) {
	n.t.Helper()
	for _, sql := range []string{`
		INSERT INTO log_entry (kind, subject, create_time, salt, content_sha256, leaf_hash)
		SELECT kind, 'x', now() - $1::interval, sha256('a'), sha256('b'), sha256('c') FROM (VALUES (8), (3)) k (kind)`, `
		INSERT INTO release (id, partner, agreement, version, document, entry)
		SELECT gen_random_uuid(), 'bb', 'aa-bb-1a', 1, 'x', arrival FROM log_entry WHERE kind = 8 AND $1 <> ''`, `
		INSERT INTO outbound (stream, receiver, epoch, sequence, sha256)
		SELECT 'aa-bb', 'bb', gen_random_uuid(), 1, sha256('a') WHERE $1 <> ''`, `
		INSERT INTO outbox (stream, epoch, sequence, release, cells, envelope, entry)
		SELECT o.stream, o.epoch, 1, r.id, 1, 'x', l.arrival FROM outbound o, release r, log_entry l WHERE l.kind = 3 AND $1 <> ''`} {
		_, err := n.pool.Exec(n.t.Context(), sql, age.String())
		must(n.t, err)
	}
}

// crl puts a revocation list of an authority there, which bb is to have.
func (n *node) crl(by *mtlstest.Authority, number int64, next time.Time) {
	n.t.Helper()
	write(n.t, filepath.Join(n.cfg.CRLs, "bb.crl"), by.CRL(number, next, nil))
}

// empty empties the database of all but the trust list once the test ends.
func (n *node) empty() {
	n.t.Cleanup(func() {
		_, err := n.pool.Exec(context.Background(), `TRUNCATE log_entry, crl, inbound, outbound, partner_contact, witness CASCADE`)
		must(n.t, err)
	})
}

func TestExamine(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	const day = 24 * time.Hour
	issue := func(n *node, from, to time.Duration, options ...mtlstest.Option) {
		files := n.aa.Issue("sharing", append(options, mtlstest.Valid(in(from), in(to)))...)
		n.cfg.Certificate, n.cfg.Key = files.Certificate, files.Key
	}
	shows := func(n *node, by *mtlstest.Authority, from, to time.Duration) {
		n.partner = by.Issue("sharing", mtlstest.Valid(in(from), in(to)))
	}
	asksForCRLs := func(n *node) { n.list.States[1].CRL = &sharing.CRLPolicy{GraceHours: 24} }
	nothing := func(*node) {}

	// Before the trust list is signed, and after.
	for name, test := range map[string]struct {
		before, after func(*node)
		want          string // "severity check: part of the problem"; "": nothing is found
	}{
		"nothing where all is well": {nothing, nothing, ""},

		"a service that does not answer": {nothing, func(n *node) { n.cfg.OpsListen = "127.0.0.1:1" }, "error node: does not answer"},
		"a service that is not ready":    {nothing, func(n *node) { n.ready = "no ink" }, "error node: not ready: no ink"},
		"policies that do not load":      {nothing, func(n *node) { write(t, n.cfg.Policies+"/a.rego", []byte("package a\n\nb := c\n")) }, "error policy: do not load"},
		"policies that fail their own tests": {nothing, func(n *node) {
			write(t, n.cfg.Policies+"/a_test.rego", []byte("package a_test\n\ntest_b if data.a.b == 2\n"))
		}, "error policy: do not load"},

		"a certificate that is gone":       {nothing, func(n *node) { n.cfg.Certificate += ".not" }, "error certificate: reading the certificate"},
		"a certificate with another key":   {nothing, func(n *node) { n.cfg.Key = n.aa.Issue("sharing").Key }, "error certificate: does not match"},
		"a certificate of another service": {nothing, func(n *node) { issue(n, -day, 90*day, mtlstest.Named("comity://aa/risk")) }, "error certificate: comity://aa/risk"},
		"a certificate that has expired":   {nothing, func(n *node) { issue(n, -2*day, -day) }, "error certificate: the certificate ended"},
		"a certificate whose authority expires soon": {func(n *node) {
			n.aa = mtlstest.NewAuthority(t, "aa", mtlstest.Valid(in(-day), in(10*day)))
			n.list.States[0].Roots, n.cfg.Root = string(n.aa.Certificate()), n.aa.Root
			issue(n, -day, 90*day)
		}, nothing, "warning certificate: in 9 days"},
		"a certificate that expires soon":        {nothing, func(n *node) { issue(n, -day, 10*day) }, "warning certificate: in 9 days"},
		"a certificate of no root on the list":   {func(n *node) { n.list.States[0].Roots = string(mtlstest.NewAuthority(t, "aa").Certificate()) }, nothing, "error certificate: no partner believes it"},
		"a certificate of no root of this state": {nothing, func(n *node) { n.cfg.Root = n.bb.Root }, "error certificate: the services of aa do not believe it"},
		"a private key that others may read":     {nothing, func(n *node) { must(t, os.Chmod(n.cfg.Key, 0o644)) }, "warning certificate: others may read"},
		"a trust list that is gone":              {nothing, func(n *node) { must(t, os.Remove(n.cfg.TrustList)) }, "error trust: no such file"},
		"a trust list that one officer signed":   {nothing, func(n *node) { write(t, n.cfg.TrustList, n.signed(n.list, n.officers[0])) }, "error trust: signatures of 1"},
		"a trust list that has expired":          {func(n *node) { n.list.Expires, n.list.GraceHours = in(-day), 72 }, nothing, "error trust: version 2 of the list ended"},
		"a trust list that expires soon":         {func(n *node) { n.list.Expires = in(20 * day) }, nothing, "warning trust: in 19 days"},
		"a trust list without this state":        {func(n *node) { n.cfg.State = "cc" }, nothing, "error trust: cc is not on it"},
		"a trust list that was never in force":   {nothing, func(n *node) { _, err := pool.Exec(t.Context(), `DELETE FROM trust_list`); must(t, err) }, "error trust: never in force"},
		"a trust list that is not the latest": {nothing, func(n *node) {
			n.list.Version++
			must(t, postgres.NewStore(pool).KeepTrustList(t.Context(), 3, n.signed(n.list, n.officers...)))
		}, "warning trust: version 3 is in force"},
		"a trust list that waits for signatures":   {nothing, func(n *node) { n.list.Version++; write(t, n.cfg.TrustList+".next", n.signed(n.list, n.officers[1])) }, "warning trust: signed by 1 officers of the list in force, of 2: B"},
		"a signing key that is gone":               {nothing, func(n *node) { n.cfg.SigningKey += ".not" }, "error keys: no such file"},
		"a signing key that is not on the list":    {func(n *node) { n.list.States[0].SigningKeys = n.list.States[1].SigningKeys }, nothing, "error keys: lets none of its keys sign"},
		"a signing key that has ended":             {func(n *node) { n.list.States[0].SigningKeys[0].NotAfter = in(-day) }, nothing, "error keys: lets none of its keys sign"},
		"a signing key that ends soon":             {func(n *node) { n.list.States[0].SigningKeys[0].NotAfter = in(10 * day) }, nothing, "warning keys: in 9 days"},
		"a signing key that others may read":       {nothing, func(n *node) { must(t, os.Chmod(n.cfg.SigningKey, 0o640)) }, "warning keys: others may read"},
		"a log key that is not on the list":        {func(n *node) { n.list.States[0].LogKey = n.list.States[1].LogKey }, nothing, "error keys: none of its keys as a log key"},
		"a log key that is none":                   {nothing, func(n *node) { write(t, n.cfg.LogKey, []byte("x")) }, "error keys: reading a log key"},
		"revocation lists without a directory":     {asksForCRLs, func(n *node) { n.cfg.CRLs = "" }, "error crl: names no directory"},
		"a revocation list that is missing":        {asksForCRLs, nothing, "error crl: no such file"},
		"a revocation list of another authority":   {asksForCRLs, func(n *node) { n.crl(n.aa, 1, in(day)) }, "error crl: no authority of the state has signed it"},
		"a revocation list that is stale":          {asksForCRLs, func(n *node) { n.crl(n.bb, 1, in(-time.Hour)) }, "error crl: is stale"},
		"a revocation list whose grace is over":    {asksForCRLs, func(n *node) { n.crl(n.bb, 1, in(-25*time.Hour)) }, "error crl: the state is not believed"},
		"a revocation list older than the last":    {asksForCRLs, func(n *node) { n.crl(n.bb, 9, in(day)); n.keep(10) }, "error crl: is older than number 10"},
		"nothing in revocation lists that are new": {asksForCRLs, func(n *node) { n.crl(n.bb, 10, in(day)); n.keep(9) }, ""},

		"a database that does not answer":   {nothing, func(n *node) { n.open = func(context.Context) (doctor.Store, error) { return nil, errors.New("no") } }, "error database: does not answer: no"},
		"an agreement that ends soon":       {nothing, func(n *node) { n.agree(in(10 * day).Format(time.DateOnly)) }, "warning agreement: it ends on"},
		"an agreement that has ended":       {nothing, func(n *node) { n.agree(in(-3 * day).Format(time.DateOnly)) }, "warning agreement: it ended on"},
		"nothing in an agreement for long":  {nothing, func(n *node) { n.agree(in(300 * day).Format(time.DateOnly)) }, ""},
		"what waits for hours":              {nothing, func(n *node) { n.agree(""); n.wait(3 * time.Hour) }, "warning queue: 1 envelopes wait for it, the oldest for 3h"},
		"what waits for days":               {nothing, func(n *node) { n.agree(""); n.wait(72 * time.Hour) }, "error queue: 1 envelopes wait for it, the oldest for 3 days"},
		"nothing in what waits for minutes": {nothing, func(n *node) { n.agree(""); n.wait(time.Minute) }, ""},
		"a stream that is quarantined": {nothing, func(n *node) {
			n.empty()
			_, err := pool.Exec(t.Context(), `INSERT INTO inbound (stream, sender, quarantined) VALUES ('bb-aa', 'bb', true)`)
			must(t, err)
		}, "error queue: quarantined"},
		"a partner that does not co-sign our log": {nothing, func(n *node) {
			n.empty()
			_, err := pool.Exec(t.Context(), `INSERT INTO witness (partner, size, root, shown, cosigned, objection) VALUES ('bb', 0, '', 9, '', 'it had 9')`)
			must(t, err)
		}, "error log: it does not co-sign our log: it had 9"},

		"a partner that cannot be reached":            {func(n *node) { n.list.States[1].Address = "127.0.0.1:1" }, nothing, "error partner: cannot be reached"},
		"a partner that speaks no TLS":                {func(n *node) { n.list.States[1].Address = n.cfg.OpsListen }, nothing, "error partner: does not complete a handshake"},
		"a partner with the wrong root":               {func(n *node) { n.list.States[1].Roots = string(n.aa.Certificate()) }, nothing, "error partner: wrong root"},
		"a partner whose certificate has expired":     {func(n *node) { shows(n, n.bb, -2*day, -day); n.serve() }, nothing, "error partner: does not count now"},
		"a partner whose certificate expires soon":    {func(n *node) { shows(n, n.bb, -day, 10*day); n.serve() }, nothing, "warning partner: its certificate ends"},
		"another service in the place of a partner's": {func(n *node) { n.partner = n.bb.Issue("risk", mtlstest.Valid(in(-day), in(90*day))); n.serve() }, nothing, "error partner: comity://bb/risk"},
		"a partner that refuses this node":            {func(n *node) { n.refuses = true }, nothing, "error partner: refuses this node"},
		"a partner whose clock is ahead":              {func(n *node) { n.skew = time.Minute }, nothing, "warning partner: its clock differs from ours by 1m"},
		"a partner whose clock is far behind":         {func(n *node) { n.skew = -time.Hour }, nothing, "error partner: its clock differs from ours by -"},
	} {
		t.Run("finds "+name, func(t *testing.T) {
			n := newNode(t, pool)
			n.serve()
			test.before(n)
			n.sign()
			test.after(n)
			findings := doctor.Examine(t.Context(), n.cfg, doctor.Usual, n.open)
			text, err := json.MarshalIndent(findings, "", "  ")
			must(t, err)
			if test.want == "" && len(findings) > 0 {
				t.Fatalf("it finds %s", text)
			}
			found := test.want == "" || slices.ContainsFunc(findings, func(f doctor.Finding) bool {
				kind, problem, _ := strings.Cut(test.want, ": ")
				return kind == string(f.Severity)+" "+f.Check && strings.Contains(f.Problem, problem) && f.Advice != "" && f.Subject != ""
			})
			if !found {
				t.Errorf("it does not find %q, but %s", test.want, text)
			}
		})
	}
}

// keep keeps the number as that of the last revocation list of bb.
func (n *node) keep(number int64) {
	n.t.Helper()
	n.empty()
	lists, err := partner.ReadCRLs(n.bb.CRL(number, time.Now().Add(time.Hour), nil), string(n.bb.Certificate()), time.Now())
	must(n.t, err)
	must(n.t, postgres.NewStore(n.pool).KeepCRL(n.t.Context(), sharing.KeptCRL{
		State: "bb", Authority: lists[0].Authority, Number: lists[0].Number.String(), DER: lists[0].DER,
	}))
}
