package tck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func outgoing(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// bad is a certificate that nobody may be let in with.
type bad struct {
	id, what string
	faults   []string
	issue    func(*kit) (*tls.Certificate, error)
}

// badCertificates returns those that a client, or with server true a server, may try.
func badCertificates(server bool) []bad {
	spoiled := func(spoil func(*x509.Certificate)) func(*kit) (*tls.Certificate, error) {
		return func(k *kit) (*tls.Certificate, error) {
			return k.own.own().leaf(string(k.own.Code), "sharing", spoil)
		}
	}
	usage := x509.ExtKeyUsageServerAuth
	if server {
		usage = x509.ExtKeyUsageClientAuth
	}
	return []bad{
		{"expired", "a certificate that has expired", []string{"F01"}, spoiled(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})},
		{"early", "a certificate that is not valid yet", []string{"F01"}, spoiled(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		})},
		{"usage", "a certificate that is not for this side of TLS", []string{"F01"}, spoiled(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		})},
		{"root", "a certificate of the right name under an unknown root", []string{"F01"}, func(k *kit) (*tls.Certificate, error) {
			root, err := newRoot("nobody", time.Hour)
			if err != nil {
				return nil, err
			}
			return root.leaf(string(k.own.Code), "sharing", nil)
		}},
		{"intermediate", "a certificate under an intermediate that may not issue any", []string{"F01"}, func(k *kit) (*tls.Certificate, error) {
			through, err := k.own.own().intermediate(false)
			if err != nil {
				return nil, err
			}
			return through.leaf(string(k.own.Code), "sharing", nil)
		}},
		{"name", "a certificate in the node's own name that the kit's authority has issued", []string{"F02"}, func(k *kit) (*tls.Certificate, error) {
			return k.own.own().leaf(string(k.peer.Code), "sharing", nil)
		}},
		{"other", "a certificate in the name of a third state that the kit's authority has issued", []string{"F02"}, func(k *kit) (*tls.Certificate, error) {
			third := "nobody"
			for _, state := range k.list.States {
				if state.Code != k.own.Code && state.Code != k.peer.Code {
					third = string(state.Code)
				}
			}
			return k.own.own().leaf(third, "sharing", nil)
		}},
		{"service", "a certificate of another service of the kit's state", nil, func(k *kit) (*tls.Certificate, error) {
			return k.own.own().leaf(string(k.own.Code), "gateway", nil)
		}},
		{"unnamed", "a certificate that names no workload", []string{"F02"}, spoiled(func(c *x509.Certificate) {
			c.URIs, c.DNSNames = nil, []string{"localhost"}
		})},
	}
}

// tlsCases are about whom the node lets in, and what it shows.
func tlsCases() []Case {
	cases := []Case{
		{
			ID: "tls.certificate", Expected: "shows a certificate of its sharing service that its own root vouches for", Level: Required, Faults: []string{"F02"},
			run: func(ctx context.Context, k *kit) error {
				_, err := describe(ctx, k.connection)
				return err
			},
		},
		{
			ID: "tls.intermediate-good", Expected: "lets in a partner whose certificate an intermediate of its authority has issued", Level: Required,
			run: func(ctx context.Context, k *kit) error {
				through, err := k.own.own().intermediate(true)
				if err != nil {
					return err
				}
				leaf, err := through.leaf(string(k.own.Code), "sharing", nil)
				if err != nil {
					return err
				}
				connection, err := k.dial(leaf)
				if err != nil {
					return err
				}
				defer connection.Close() //nolint:errcheck // the call is over
				_, err = describe(ctx, connection)
				return err
			},
		},
		{
			ID: "tls.old", Expected: "speaks TLS 1.3 and nothing older", Level: Required, Faults: []string{"F01"},
			run: func(ctx context.Context, k *kit) error {
				cfg := k.tlsConfig(k.leaf)
				cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return k.isKeptOut(ctx, cfg)
			},
		},
		{
			ID: "tls.plain", Expected: "does not speak without TLS", Level: Required, Faults: []string{"F01"},
			run: func(ctx context.Context, k *kit) error {
				connection, err := grpc.NewClient("passthrough:///"+k.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					return err
				}
				defer connection.Close() //nolint:errcheck // the call is over
				_, err = describe(ctx, connection)
				return keptOut(err)
			},
		},
		{
			ID: "tls.nobody", Expected: "lets in nobody without a certificate", Level: Required, Faults: []string{"F01"},
			run: func(ctx context.Context, k *kit) error { return k.isKeptOut(ctx, k.tlsConfig(nil)) },
		},
		{
			ID: "tls.resumed", Expected: "resumes no session, so that each connection shows its certificate again", Level: Recommended, Faults: []string{"F03"},
			run: func(ctx context.Context, k *kit) error {
				resumed := false
				cfg := k.tlsConfig(k.leaf)
				cfg.ClientSessionCache, cfg.ServerName = tls.NewLRUClientSessionCache(1), "conformance"
				verify := cfg.VerifyConnection
				cfg.VerifyConnection = func(state tls.ConnectionState) error {
					resumed = resumed || state.DidResume
					return verify(state)
				}
				for range 2 {
					connection, err := k.dialTLS(cfg)
					if err != nil {
						return err
					}
					_, err = describe(ctx, connection)
					if err := errors.Join(err, connection.Close()); err != nil {
						return err
					}
				}
				if resumed {
					return errors.New("it resumes sessions: a revoked certificate may get in by one")
				}
				return nil
			},
		},
	}
	for _, b := range badCertificates(false) {
		cases = append(cases, Case{
			ID: "tls." + b.id, Expected: "lets in nobody who shows " + b.what, Level: Required, Faults: b.faults,
			run: func(ctx context.Context, k *kit) error {
				certificate, err := b.issue(k)
				if err != nil {
					return err
				}
				return k.isKeptOut(ctx, k.tlsConfig(certificate))
			},
		})
	}
	return cases
}

// isKeptOut returns an error unless the node ends the handshake, or the connection before it says anything in it.
func (k *kit) isKeptOut(ctx context.Context, cfg *tls.Config) error {
	connection, err := k.dialTLS(cfg)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // the call is over
	_, err = describe(ctx, connection)
	return keptOut(err)
}

func keptOut(err error) error {
	if err == nil {
		return errors.New("it answers")
	}
	if status.Code(err) != codes.Unavailable {
		return fmt.Errorf("it lets the caller in to tell it: %s", status.Convert(err).Message())
	}
	return nil
}

// othersToo is how long the node is given to call where others may have called before it.
const othersToo = 100 * time.Millisecond

// calledCases are about what the node does as the one that calls.
func calledCases() []Case {
	cases := []Case{
		{
			ID: "called.comes", Expected: "opens a stream at a partner that notifies it, and asks who answers before that", Level: Required, needs: needsReceived,
			run: func(ctx context.Context, k *kit) error {
				if _, err := k.session(ctx); err != nil {
					return err
				}
				k.desk.mu.Lock()
				defer k.desk.mu.Unlock()
				if k.desk.described == 0 {
					return errors.New("it opened a stream without asking who answers (Describe)")
				}
				return nil
			},
		},
		{
			ID: "called.certificate", Expected: "shows a certificate of its sharing service that its own root vouches for when it calls", Level: Required, needs: needsReceived, Faults: []string{"F02"},
			run: func(_ context.Context, k *kit) error {
				_, completed, problem := k.desk.front.counts()
				if completed == 0 {
					return errors.Join(problem, errors.New("no connection of the node's came about"))
				}
				return problem
			},
		},
		{
			ID: "called.cursor", Expected: "says once, and first, where it stands in the stream from its partner", Level: Required, needs: needsReceived,
			run: func(_ context.Context, k *kit) error { return k.desk.problem("cursor") },
		},
		{
			ID: "called.credit", Expected: "gives credit for as many envelopes as it can take, and for no more than 65,536", Level: Required, needs: needsReceived,
			run: func(ctx context.Context, k *kit) error {
				s, err := k.session(ctx)
				if err != nil {
					return err
				}
				waiting, cancel := context.WithTimeout(ctx, k.patience)
				defer cancel()
				granted := uint64(0)
				if !s.await(waiting, func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					granted = s.credit
					return granted > 0
				}) {
					return errors.New("it gives no credit")
				}
				if granted > 1<<16 {
					return fmt.Errorf("it gives credit for %d envelopes at once", granted)
				}
				return nil
			},
		},
		{
			ID: "called.agreement", Expected: "signs agreements with a key that the trust list has", Level: Required, needs: needsProvided | needsReceived,
			run: func(_ context.Context, k *kit) error { return k.desk.problem("agreement") },
		},
	}
	shows := func(id, what string, faults []string, maxVersion uint16, issue func(*kit) (*tls.Certificate, error)) Case {
		return Case{
			ID: "called." + id, Expected: "does not speak to a server with " + what, Level: Required, Faults: faults, needs: needsReceived,
			run: func(ctx context.Context, k *kit) error {
				if _, err := k.session(ctx); err != nil { // it calls at all
					return err
				}
				certificate, err := issue(k)
				if err != nil {
					return err
				}
				k.desk.front.show(certificate, maxVersion)
				defer k.desk.front.show(k.leaf, tls.VersionTLS13)
				var since time.Time // the first handshake failed; where other states call too, it may have been theirs
				for end := time.Now().Add(k.patience); ; time.Sleep(50 * time.Millisecond) {
					k.notify(ctx)
					failed, completed, _ := k.desk.front.counts()
					if failed > 0 && since.IsZero() {
						since = time.Now()
					}
					switch {
					case completed > 0:
						return errors.New("it does")
					case failed > 0 && (len(k.list.States) == 2 || time.Since(since) > othersToo):
						return nil
					case time.Now().After(end):
						return fmt.Errorf("it does not call within %s", k.patience)
					}
				}
			},
		}
	}
	cases = append(cases, shows("old", "TLS 1.2", []string{"F01"}, tls.VersionTLS12, func(k *kit) (*tls.Certificate, error) { return k.leaf, nil }))
	for _, b := range badCertificates(true) {
		cases = append(cases, shows(b.id, b.what, b.faults, tls.VersionTLS13, b.issue))
	}
	return cases
}
