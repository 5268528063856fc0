package mtls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
)

// callers is a service that answers with who called it.
type callers struct {
	healthpb.UnimplementedHealthServer
	peers chan string
}

func (c callers) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	state, service, ok := mtls.Peer(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "nobody")
	}
	c.peers <- state + " " + service
	return &healthpb.HealthCheckResponse{}, nil
}

// serve starts a server of comity://us/statistics that trusts the roots, and returns its address.
func serve(t *testing.T, pair *mtls.Pair, roots mtls.Roots, accept func(mtls.Identity) error) (string, callers) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(mtls.NewServer(pair, roots, accept)))
	service := callers{peers: make(chan string, 16)}
	healthpb.RegisterHealthServer(server, service)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), service
}

func check(t *testing.T, address string, c credentials.TransportCredentials) error {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func load(t *testing.T, files mtlstest.Files) *mtls.Pair {
	t.Helper()
	pair, err := mtls.LoadPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// trust returns roots of the authorities' own states.
func trust(authorities ...*mtlstest.Authority) mtls.Roots {
	return func(state string) *x509.CertPool {
		for _, a := range authorities {
			if a.State == state {
				return a.Pool()
			}
		}
		return nil
	}
}

var statistics = mtls.Identity{State: "us", Service: "statistics"}

func TestServerKnowsItsCaller(t *testing.T) {
	us, gb := mtlstest.NewAuthority(t, "us"), mtlstest.NewAuthority(t, "gb")
	address, service := serve(t, load(t, us.Issue("statistics")), trust(us, gb), nil)
	for name, test := range map[string]struct {
		files mtlstest.Files
		want  string
	}{
		"of its own state":        {us.Issue("risk"), "us risk"},
		"of another state":        {gb.Issue("sharing"), "gb sharing"},
		"through an intermediate": {us.Intermediate(true).Issue("gateway"), "us gateway"},
		"through two":             {us.Intermediate(true).Intermediate(true).Issue("gateway"), "us gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := check(t, address, mtls.NewClient(load(t, test.files), trust(us), statistics)); err != nil {
				t.Fatal(err)
			}
			if got := <-service.peers; got != test.want {
				t.Errorf("the caller is %q, want %q", got, test.want)
			}
		})
	}
}

// refused are certificates that nobody accepts, by the side that shows them.
func refused(t *testing.T, us, gb *mtlstest.Authority, service string) map[string]mtlstest.Files {
	t.Helper()
	now := time.Now()
	return map[string]mtlstest.Files{
		"in another state's name":            gb.Issue(service, mtlstest.Named("comity://us/"+service)),
		"of an unknown authority":            mtlstest.NewAuthority(t, "us").Issue(service),
		"of a state without roots":           mtlstest.NewAuthority(t, "xx").Issue(service),
		"that has expired":                   us.Issue(service, mtlstest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))),
		"that is not valid yet":              us.Issue(service, mtlstest.Valid(now.Add(time.Hour), now.Add(2*time.Hour))),
		"for signing code":                   us.Issue(service, mtlstest.Usable(x509.ExtKeyUsageCodeSigning)),
		"for no use":                         us.Issue(service, mtlstest.Usable()),
		"that must not sign":                 us.Issue(service, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		"of an authority":                    us.Issue(service, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
		"through an intermediate that is no": us.Intermediate(false).Issue(service),
		"with two URIs":                      us.Issue(service, mtlstest.Named("comity://us/"+service, "comity://gb/"+service)),
		"with no URI":                        us.Issue(service, mtlstest.Named()),
		"with a URI of another scheme":       us.Issue(service, mtlstest.Named("spiffe://us/"+service)),
		"with a longer path":                 us.Issue(service, mtlstest.Named("comity://us/"+service+"/admin")),
		"with a port":                        us.Issue(service, mtlstest.Named("comity://us:443/"+service)),
		"with a user":                        us.Issue(service, mtlstest.Named("comity://root@us/"+service)),
		"with a query":                       us.Issue(service, mtlstest.Named("comity://us/"+service+"?as=officer")),
		"with capitals":                      us.Issue(service, mtlstest.Named("comity://US/"+service)),
		"without a service":                  us.Issue(service, mtlstest.Named("comity://us/")),
	}
}

func TestServerRefusesAClient(t *testing.T) {
	us, gb := mtlstest.NewAuthority(t, "us"), mtlstest.NewAuthority(t, "gb")
	address, service := serve(t, load(t, us.Issue("statistics")), trust(us, gb), nil)
	certificates := refused(t, us, gb, "risk")
	certificates["for servers only"] = us.Issue("risk", mtlstest.Usable(x509.ExtKeyUsageServerAuth))
	for name, files := range certificates {
		t.Run("with a certificate "+name, func(t *testing.T) {
			err := check(t, address, mtls.NewClient(load(t, files), trust(us), statistics))
			if status.Code(err) != codes.Unavailable || len(service.peers) > 0 {
				t.Errorf("it answers %v", err)
			}
		})
	}
	t.Run("without a certificate", func(t *testing.T) {
		none := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test is about the server
		if err := check(t, address, none); status.Code(err) != codes.Unavailable || len(service.peers) > 0 {
			t.Errorf("it answers %v", err)
		}
	})
	t.Run("with an older TLS", func(t *testing.T) {
		pair := load(t, us.Issue("risk"))
		old := credentials.NewTLS(&tls.Config{
			InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*pair.Current()}, //nolint:gosec // as above
		})
		if err := check(t, address, old); status.Code(err) != codes.Unavailable || len(service.peers) > 0 {
			t.Errorf("it answers %v", err)
		}
	})
}

func TestClientRefusesAServer(t *testing.T) {
	us, gb := mtlstest.NewAuthority(t, "us"), mtlstest.NewAuthority(t, "gb")
	certificates := refused(t, us, gb, "statistics")
	certificates["for clients only"] = us.Issue("statistics", mtlstest.Usable(x509.ExtKeyUsageClientAuth))
	certificates["of another service"] = us.Issue("sharing")
	certificates["of another state's service"] = gb.Issue("statistics")
	client := load(t, us.Issue("risk"))
	for name, files := range certificates {
		t.Run("with a certificate "+name, func(t *testing.T) {
			address, service := serve(t, load(t, files), trust(us, gb), nil)
			err := check(t, address, mtls.NewClient(client, trust(us, gb), statistics))
			if status.Code(err) != codes.Unavailable || len(service.peers) > 0 {
				t.Errorf("it answers %v", err)
			}
		})
	}
}

func TestServerTurnsAwayWhomItDoesNotAccept(t *testing.T) {
	us := mtlstest.NewAuthority(t, "us")
	address, _ := serve(t, load(t, us.Issue("statistics")), trust(us), func(peer mtls.Identity) error {
		if peer.Service != "sharing" {
			return os.ErrPermission
		}
		return nil
	})
	for service, want := range map[string]codes.Code{"sharing": codes.OK, "risk": codes.Unavailable} {
		err := check(t, address, mtls.NewClient(load(t, us.Issue(service)), trust(us), statistics))
		if status.Code(err) != want {
			t.Errorf("it answers %s: %v, want %s", service, err, want)
		}
	}
}

func TestFilesCountFromTheNextHandshakeOn(t *testing.T) {
	us := mtlstest.NewAuthority(t, "us")
	files := us.Issue("risk")
	client := mtls.NewClient(load(t, files), trust(us), statistics)
	roots, err := mtls.RootFile("us", us.Root)
	if err != nil {
		t.Fatal(err)
	}
	address, service := serve(t, load(t, us.Issue("statistics")), roots, nil)
	if err := check(t, address, client); err != nil {
		t.Fatal(err)
	}
	us.Renew(files, "gateway")
	if err := check(t, address, client); err != nil {
		t.Fatal(err)
	}
	if first, second := <-service.peers, <-service.peers; first != "us risk" || second != "us gateway" {
		t.Errorf("the callers are %q and %q", first, second)
	}

	if err := os.WriteFile(files.Certificate, []byte("half of a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(t, address, client); err != nil {
		t.Errorf("with half of a file, the last pair does not stay: %v", err)
	}

	other := mtlstest.NewAuthority(t, "us")
	content, err := os.ReadFile(other.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(us.Root, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(t, address, client); status.Code(err) != codes.Unavailable {
		t.Errorf("after the root was replaced, the old certificates still count: %v", err)
	}
	if err := os.WriteFile(us.Root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if roots("us") == nil {
		t.Error("with an empty file, the last roots do not stay")
	}
	if roots("gb") != nil {
		t.Error("the roots of us vouch for gb")
	}
}

func TestAConnectionDoesNotOutliveItsCertificate(t *testing.T) {
	us := mtlstest.NewAuthority(t, "us")
	address, _ := serve(t, load(t, us.Issue("statistics")), trust(us), nil)
	files := us.Issue("risk", mtlstest.Valid(time.Now().Add(-time.Minute), time.Now().Add(2*time.Second)))
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(mtls.NewClient(load(t, files), trust(us), statistics)))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ask := func() error {
		_, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if err := ask(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after it expired, it answers %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	us := mtlstest.NewAuthority(t, "us")
	one, other := us.Issue("risk"), us.Issue("risk")
	for name, files := range map[string]mtlstest.Files{
		"reading the certificate":    {Certificate: one.Certificate + ".not", Key: one.Key},
		"reading the private key":    {Certificate: one.Certificate, Key: one.Key + ".not"},
		"private key does not match": {Certificate: one.Certificate, Key: other.Key},
	} {
		if _, err := mtls.LoadPair(files.Certificate, files.Key); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("it says %v, want %q", err, name)
		}
	}
	if _, err := mtls.RootFile("us", one.Key); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("it says %v", err)
	}
}
