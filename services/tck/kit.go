package tck

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

const (
	callTimeout = 15 * time.Second // for a call that answers at once
	promptly    = 2 * time.Second  // for a node that somebody else is flooding
	limited     = 30 * time.Second // for which a node may put a call off
	maxMessage  = 4 << 20          // bytes that the kit takes in a message
)

// kit is a run of the kit.
type kit struct {
	Options
	own       *State
	peer      sharing.TrustedState
	list      *sharing.TrustList
	peerRoots *x509.CertPool
	peerLog   note.Verifier
	address   string
	patience  time.Duration
	aftermath bool

	leaf       *tls.Certificate // that the kit shows where nothing else is tried
	connection *grpc.ClientConn
	client     exchangepb.ExchangeServiceClient

	provided *agreement // the node provides
	received *agreement // the node receives
	witness  *witness
	desk     *desk  // where the node calls
	line     line   // of envelopes to the node
	drawn    *drawn // what the node has provided
	waited   bool   // for a second envelope of it
	idle     *idle  // a stream that nobody says anything on
}

// openKit makes everything ready, and answers the node's calls from then on.
func openKit(ctx context.Context, o Options) (*kit, error) {
	k := &kit{Options: o, own: o.State, patience: o.Patience, aftermath: o.Aftermath}
	list, err := sharing.OpenTrustList(o.Trust)
	if err != nil {
		return nil, err
	}
	k.list = list.TrustList
	if entry, ok := list.State(k.own.Code); !ok || len(entry.SigningKeys) == 0 || entry.LogKey != k.own.secrets.LogKey {
		return nil, fmt.Errorf("the trust list does not have the kit's state %s with these keys: comity trust join puts it there", k.own.Code)
	}
	var ok bool
	if k.peer, ok = list.State(k.own.Peer); !ok {
		return nil, fmt.Errorf("the trust list does not have the node's state %s", k.own.Peer)
	}
	if k.address = o.Peer; k.address == "" {
		k.address = k.peer.Address
	}
	k.peerRoots = x509.NewCertPool()
	k.peerRoots.AppendCertsFromPEM([]byte(k.peer.Roots))
	if k.peerLog, err = note.NewVerifier(k.peer.LogKey); err != nil {
		return nil, fmt.Errorf("the log key of %s: %w", k.peer.Code, err)
	}
	if k.leaf, err = k.own.own().leaf(string(k.own.Code), "sharing", nil); err != nil {
		return nil, err
	}
	if k.witness, err = openWitness(k.own.path("seen.json")); err != nil {
		return nil, err
	}
	for _, a := range []struct {
		name               string
		into               **agreement
		provider, receiver sharing.StateCode
	}{{"provided", &k.provided, k.peer.Code, k.own.Code}, {"received", &k.received, k.own.Code, k.peer.Code}} {
		if *a.into, err = k.openAgreement(a.name, a.provider, a.receiver); err != nil {
			return nil, err
		}
	}
	k.line = newLine()
	if k.connection, err = k.dial(k.leaf); err != nil {
		return nil, err
	}
	k.client = exchangepb.NewExchangeServiceClient(k.connection)
	if k.desk, err = openDesk(ctx, k); err != nil {
		return nil, errors.Join(err, k.connection.Close())
	}
	return k, nil
}

func (k *kit) close() {
	if k.idle != nil {
		k.idle.end()
	}
	k.desk.close()
	_ = k.connection.Close()
}

// tlsConfig returns the configuration with which the kit calls, showing the certificate; nil: none. The node must show
// that it is the sharing service of its state.
func (k *kit) tlsConfig(shown *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection asks for the one root that counts
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if shown == nil {
				return &tls.Certificate{}, nil
			}
			return shown, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			return k.verifyPeer(state.PeerCertificates, x509.ExtKeyUsageServerAuth)
		},
		NextProtos: []string{"h2"},
	}
}

// dial returns a connection of its own to the node.
func (k *kit) dial(shown *tls.Certificate, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return k.dialTLS(k.tlsConfig(shown), options...)
}

func (k *kit) dialTLS(cfg *tls.Config, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+k.address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(1<<30)),
		grpc.WithUnaryInterceptor(k.again),
	}, options...)...)
}

// again repeats a call that the node asks to repeat later: it limits how often a partner calls.
func (k *kit) again(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	for end := time.Now().Add(limited); ; {
		err := invoke(ctx, method, request, reply, conn, options...)
		pause := retryDelay(err)
		if pause == 0 || time.Now().Add(pause).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// retryDelay returns after what time the node asks for the call again; 0: it does not.
func retryDelay(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), time.Millisecond)
		}
	}
	return 0
}

// describe calls Describe with the client, which may be of a connection of its own.
func describe(ctx context.Context, conn grpc.ClientConnInterface) (*exchangepb.DescribeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return exchangepb.NewExchangeServiceClient(conn).Describe(ctx, &exchangepb.DescribeRequest{})
}

// knock waits until the node lets the kit in: it may need a moment for the trust list.
func (k *kit) knock(ctx context.Context) error {
	for end := time.Now().Add(k.patience); ; {
		_, err := describe(ctx, k.connection)
		if err == nil || status.Code(err) != codes.Unavailable {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the node of %s at %s does not let the kit in; does it have the trust list with %s? %w", k.peer.Code, k.address, k.own.Code, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(k.Quiet):
			k.connection.ResetConnectBackoff()
		}
	}
}

// lives returns an error unless the node still answers promptly on a new connection.
func (k *kit) lives(ctx context.Context) error {
	connection, err := k.dial(k.leaf)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // the call is over
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	if _, err := exchangepb.NewExchangeServiceClient(connection).Describe(ctx, &exchangepb.DescribeRequest{}); err != nil {
		return fmt.Errorf("after that the node does not answer on a new connection within %s: %w", promptly, err)
	}
	return nil
}

// refuses returns an error unless the call was refused with one of the codes; without any, with whatever code says that
// it was the caller's fault, and not the node's.
func refuses(err error, want ...codes.Code) error {
	if err == nil {
		return errors.New("it was accepted")
	}
	code := status.Code(err)
	if len(want) == 0 {
		want = callersFault()
	}
	if !slices.Contains(want, code) {
		return fmt.Errorf("it was answered with %s (%s), not %s", code, status.Convert(err).Message(), names(want))
	}
	return nil
}

// callersFault returns the codes that say that the caller did something wrong.
func callersFault() []codes.Code {
	return []codes.Code{
		codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.NotFound,
		codes.AlreadyExists, codes.ResourceExhausted, codes.OutOfRange, codes.Unimplemented,
	}
}

// unreadable returns the codes with which an implementation of gRPC turns away what is no message. Which one is not in
// the node's hand.
func unreadable() []codes.Code {
	return append(callersFault(), codes.Internal, codes.Unknown, codes.Unavailable)
}

func names(all []codes.Code) string {
	text := make([]string, len(all))
	for i, code := range all {
		text[i] = code.String()
	}
	return strings.Join(text, " or ")
}

// agreement is one of the two that the kit's cases rest on.
type agreement struct {
	terms    sharing.Terms
	document []byte
	file     string // where the node's signature is kept

	mu     sync.Mutex
	signed bool
	news   chan struct{} // holds one element once there is a signature
}

func (k *kit) openAgreement(name string, provider, receiver sharing.StateCode) (*agreement, error) {
	a := &agreement{file: k.own.path("agreements/" + name + ".signed"), news: make(chan struct{}, 1)}
	path := k.own.path("agreements/" + name + ".json")
	if err := readJSON(path, &a.terms); err != nil {
		return nil, err
	}
	if a.terms.Provider != provider || a.terms.Receiver != receiver {
		return nil, fmt.Errorf("%s: it is from %s to %s, not from %s to %s", path, a.terms.Provider, a.terms.Receiver, provider, receiver)
	}
	var err error
	if a.document, err = a.terms.Document(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(a.file)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	kept := &exchangepb.Signed{}
	if err := protojson.Unmarshal(text, kept); err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	a.signed = bytes.Equal(kept.GetPayload(), a.document) // else it is of an earlier version
	return a, nil
}

func (a *agreement) inForce() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signed
}

// sign keeps the node's signature.
func (a *agreement) sign(signed *exchangepb.Signed) error {
	text, err := protojson.Marshal(signed)
	if err != nil {
		return err
	}
	if err := writeFile(a.file, text); err != nil {
		return err
	}
	a.mu.Lock()
	a.signed = true
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default:
	}
	return nil
}

// agree proposes the two agreements, and waits for somebody to sign them at the node.
func (k *kit) agree(ctx context.Context, cases []Case) error {
	timeout := time.NewTimer(k.Wait)
	defer timeout.Stop()
	var waits []*agreement
	for need, a := range map[need]*agreement{needsProvided: k.provided, needsReceived: k.received} {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.needs&need != 0 }) {
			continue
		}
		if err := k.propose(ctx, k.client, sign(k.own.signing, sharing.AgreementType, a.document)); err != nil {
			k.Say(fmt.Sprintf("%s does not take agreement %s: %s", k.peer.Code, a.terms.ID, status.Convert(err).Message()))
			continue
		}
		if !a.inForce() {
			waits = append(waits, a)
			k.Say(fmt.Sprintf("agreement %s, version %d, is proposed; somebody signs it at %s", a.terms.ID, a.terms.Version, k.peer.Code))
		}
	}
	for _, a := range waits {
		for !a.inForce() {
			select {
			case <-a.news:
			case <-timeout.C:
				k.Say(fmt.Sprintf("nobody signed in %s", k.Wait))
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (k *kit) propose(ctx context.Context, client exchangepb.ExchangeServiceClient, signed *exchangepb.Signed) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := client.Propose(ctx, &exchangepb.ProposeRequest{Agreement: signed})
	return err
}

func (k *kit) answer(ctx context.Context, request *exchangepb.AnswerRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := k.client.Answer(ctx, request)
	return err
}
