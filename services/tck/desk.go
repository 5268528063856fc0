package tck

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// desk is where the node calls the kit: an ExchangeService that takes note of what the node does.
type desk struct {
	exchangepb.UnimplementedExchangeServiceServer
	kit      *kit
	front    *front
	server   *grpc.Server
	sessions chan *session // the node's streams as they begin

	mu        sync.Mutex
	live      *session // the newest
	described int
	problems  map[string]error // what was wrong with what the node said, by what it is about; the first of each
}

// front is the TLS of the desk. What it shows can be changed while the desk is open.
type front struct {
	kit *kit

	mu         sync.Mutex
	shown      *tls.Certificate
	maxVersion uint16
	failed     int // handshakes since it was changed
	completed  int
	problem    error // what was wrong with the node's certificate: the first
	live       map[net.Conn]bool
}

var _ credentials.TransportCredentials = (*front)(nil)

func openDesk(ctx context.Context, k *kit) (*desk, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", k.own.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening where the node calls: %w", err)
	}
	d := &desk{
		kit: k, front: &front{kit: k, shown: k.leaf, maxVersion: tls.VersionTLS13, live: map[net.Conn]bool{}},
		sessions: make(chan *session, 64), problems: map[string]error{},
	}
	d.server = grpc.NewServer(
		grpc.Creds(d.front), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(1<<30),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	exchangepb.RegisterExchangeServiceServer(d.server, d)
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}

func (d *desk) close() { d.server.Stop() }

// ServerHandshake is of credentials.TransportCredentials.
func (f *front) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	f.mu.Lock()
	shown, maxVersion := f.shown, f.maxVersion
	f.live[raw] = true
	f.mu.Unlock()
	var problem error
	other := false // another state of the trust list calls, which is nothing to the kit
	conn, info, err := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		MaxVersion: maxVersion,
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return shown, nil
		},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if other = f.kit.isOther(state.PeerCertificates); other {
				return errors.New("only the node under test is answered")
			}
			problem = f.kit.verifyPeer(state.PeerCertificates, x509.ExtKeyUsageClientAuth)
			return problem
		},
	}).ServerHandshake(raw)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem == nil {
		f.problem = problem
	}
	current := shown == f.shown && maxVersion == f.maxVersion
	if err != nil {
		delete(f.live, raw)
		if current && !other {
			f.failed++
		}
		return nil, nil, err
	}
	if !current {
		_ = raw.Close()
		return nil, nil, errors.New("the desk shows something else by now")
	}
	f.completed++
	return conn, info, nil
}

// ClientHandshake is of credentials.TransportCredentials.
func (f *front) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the desk calls nobody")
}

// Info is of credentials.TransportCredentials.
func (f *front) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone is of credentials.TransportCredentials.
func (f *front) Clone() credentials.TransportCredentials { return f }

// OverrideServerName is of credentials.TransportCredentials.
func (f *front) OverrideServerName(string) error { return nil }

// show changes what the desk shows from the next handshake on, and cuts the connections that are there.
func (f *front) show(certificate *tls.Certificate, maxVersion uint16) {
	f.mu.Lock()
	f.shown, f.maxVersion, f.failed, f.completed = certificate, maxVersion, 0, 0
	live := f.live
	f.live = map[net.Conn]bool{}
	f.mu.Unlock()
	for raw := range live {
		_ = raw.Close()
	}
}

func (f *front) counts() (failed, completed int, problem error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed, f.completed, f.problem
}

// note keeps what was wrong with what the node said.
func (d *desk) note(about string, err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.problems[about] == nil {
		d.problems[about] = err
	}
}

func (d *desk) problem(about string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problems[about]
}

// Describe is of the ExchangeService.
func (d *desk) Describe(context.Context, *exchangepb.DescribeRequest) (*exchangepb.DescribeResponse, error) {
	d.mu.Lock()
	d.described++
	d.mu.Unlock()
	k := d.kit
	return &exchangepb.DescribeResponse{
		State: string(k.own.Code), ProtocolVersions: []uint32{1},
		Head: &exchangepb.Cursor{Stream: k.toNode()},
	}, nil
}

// Sync is of the ExchangeService.
func (d *desk) Sync(stream exchangepb.ExchangeService_SyncServer) error {
	said, err := stream.Recv()
	if err != nil {
		return err
	}
	cursor := said.GetResume()
	if cursor == nil {
		d.note("cursor", errors.New("its first word on a stream is no cursor"))
		return status.Error(codes.InvalidArgument, "the cursor comes first")
	}
	if want := d.kit.toNode(); cursor.GetStream() != want {
		d.note("cursor", fmt.Errorf("it asks for the stream %q, not %q", cursor.GetStream(), want))
		return status.Error(codes.InvalidArgument, "no such stream")
	}
	s := newSession(stream, cursor)
	d.mu.Lock()
	d.live = s
	d.mu.Unlock()
	select {
	case d.sessions <- s:
	default: // nobody has looked for a while; the newest is live
	}
	return s.serve(d)
}

// Notify is of the ExchangeService.
func (d *desk) Notify(context.Context, *exchangepb.NotifyRequest) (*exchangepb.NotifyResponse, error) {
	return &exchangepb.NotifyResponse{}, nil
}

// Propose is of the ExchangeService.
func (d *desk) Propose(_ context.Context, r *exchangepb.ProposeRequest) (*exchangepb.ProposeResponse, error) {
	return &exchangepb.ProposeResponse{}, d.sign(r.GetAgreement())
}

// Answer is of the ExchangeService.
func (d *desk) Answer(_ context.Context, r *exchangepb.AnswerRequest) (*exchangepb.AnswerResponse, error) {
	switch {
	case r.GetTermination() != nil:
		d.note("agreement", d.kit.verify(sharing.TerminationType, r.GetTermination()))
		return &exchangepb.AnswerResponse{}, nil
	case r.GetWithdrawal() != nil:
		d.note("agreement", d.kit.verify(sharing.WithdrawalType, r.GetWithdrawal()))
		return &exchangepb.AnswerResponse{}, nil
	}
	return &exchangepb.AnswerResponse{}, d.sign(r.GetAgreement())
}

// sign keeps the node's signature under one of the kit's agreements.
func (d *desk) sign(signed *exchangepb.Signed) error {
	if err := d.kit.verify(sharing.AgreementType, signed); err != nil {
		d.note("agreement", fmt.Errorf("the signature under an agreement: %w", err))
		return status.Error(codes.PermissionDenied, err.Error())
	}
	for _, a := range []*agreement{d.kit.provided, d.kit.received} {
		if bytes.Equal(a.document, signed.GetPayload()) {
			if err := a.sign(signed); err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			return nil
		}
	}
	return status.Error(codes.InvalidArgument, "the kit has no agreement with these terms")
}

// Witness is of the ExchangeService.
func (d *desk) Witness(_ context.Context, r *exchangepb.WitnessRequest) (*exchangepb.WitnessResponse, error) {
	offered, err := d.kit.openCheckpoint(r.GetCheckpoint())
	if err != nil {
		d.note("witness", err)
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	seen, extends, err := d.kit.witness.extend(offered, int64(r.GetOldSize()), r.GetProof()) //nolint:gosec // one too large is no size that was seen
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if !extends {
		return &exchangepb.WitnessResponse{SeenSize: uint64(seen)}, nil //nolint:gosec // a size is not negative
	}
	opened, err := note.Open([]byte(r.GetCheckpoint()), note.VerifierList(d.kit.peerLog))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	cosigned, err := note.Sign(opened, d.kit.own.log)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &exchangepb.WitnessResponse{Cosigned: string(cosigned), SeenSize: uint64(seen)}, nil //nolint:gosec // as above
}

// toNode returns the name of the stream from the kit to the node.
func (k *kit) toNode() string { return string(k.own.Code) + "-" + string(k.peer.Code) }

// toKit returns the name of the stream from the node to the kit.
func (k *kit) toKit() string { return string(k.peer.Code) + "-" + string(k.own.Code) }
