package sharing

import (
	"context"
	"errors"
)

var errSoon = errors.New("in the making")

type (
	policyData struct{}
	changes    struct{}
)

func New(config Config) *Service { return &Service{Config: config} }

// National API.
func (s *Service) Partners(ctx context.Context) ([]Partner, error) { return nil, errSoon }
func (s *Service) Draft(ctx context.Context, terms Terms) (Agreement, error) {
	return Agreement{}, errSoon
}
func (s *Service) Agreement(ctx context.Context, id AgreementID) (Agreement, error) {
	return Agreement{}, errSoon
}
func (s *Service) Agreements(ctx context.Context, ended bool) ([]Agreement, error) {
	return nil, errSoon
}
func (s *Service) Sign(ctx context.Context, id AgreementID) (Agreement, error) {
	return Agreement{}, errSoon
}
func (s *Service) Terminate(ctx context.Context, id AgreementID, reason string) (Agreement, error) {
	return Agreement{}, errSoon
}
func (s *Service) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	return Explanation{}, errSoon
}
func (s *Service) Releases(ctx context.Context, page Page) (releases []Release, next string, err error) {
	return nil, "", errSoon
}
func (s *Service) Deliveries(ctx context.Context, page Page) (deliveries []Delivery, next string, err error) {
	return nil, "", errSoon
}
func (s *Service) Checkpoint(ctx context.Context) (signedNote, verifierKey string, err error) {
	return "", "", errSoon
}
func (s *Service) LogEntries(ctx context.Context, from int64, limit int) ([]LogEntry, error) {
	return nil, errSoon
}

// Called for a partner that TLS has authenticated.
func (s *Service) ReceiveProposal(ctx context.Context, from StateCode, agreement Signed) error {
	return errSoon
}
func (s *Service) ReceiveAnswer(ctx context.Context, from StateCode, agreement Signed) error {
	return errSoon
}
func (s *Service) ReceiveTermination(ctx context.Context, from StateCode, termination Signed) error {
	return errSoon
}

// Head is the newest place of the stream to the partner.
func (s *Service) Head(ctx context.Context, partner StateCode) (Cursor, error) {
	return Cursor{}, errSoon
}

// Outgoing: envelopes after the cursor, at most limit; *ResyncError where the cursor does not fit.
func (s *Service) Outgoing(ctx context.Context, partner StateCode, after Cursor, limit int) ([]Outgoing, error) {
	return nil, errSoon
}

// OutgoingChanged is closed at the next change; ask for it BEFORE asking Outgoing.
func (s *Service) OutgoingChanged(partner StateCode) <-chan struct{} { return nil }
func (s *Service) AcceptReceipt(ctx context.Context, from StateCode, receipt Signed) error {
	return errSoon
}

// Witness: cosigned is "" where the size seen last is not oldSize; then ask again from seen.
func (s *Service) Witness(ctx context.Context, from StateCode, checkpoint string, oldSize int64, proof [][]byte) (cosigned string, seen int64, err error) {
	return "", 0, errSoon
}

// The receiving side, called by the puller.
func (s *Service) Cursor(ctx context.Context, partner StateCode) (Cursor, error) {
	return Cursor{}, errSoon
}

// Receive: a fault RECEIVE_REFUSED is final for this envelope: it is kept, the cursor has moved, there is no receipt:
// go on with the next. Any other error: nothing has moved, end the stream and begin again from Cursor, later.
func (s *Service) Receive(ctx context.Context, from StateCode, envelope []byte) (receipt Signed, err error) {
	return Signed{}, errSoon
}

// Contact keeps when a partner answered last (err nil), or what went wrong.
func (s *Service) Contact(ctx context.Context, partner StateCode, err error) error { return errSoon }

// WitnessOffer is what to hand to the partner's Witness: our newest checkpoint with a proof from the size that the
// partner is known to have seen; Cosigned keeps its answer (seen: size to prove from next time).
func (s *Service) WitnessOffer(ctx context.Context, partner StateCode) (checkpoint string, oldSize int64, proof [][]byte, err error) {
	return "", 0, nil, errSoon
}
func (s *Service) Cosigned(ctx context.Context, partner StateCode, cosigned string, seen int64) error {
	return errSoon
}

// Loops: they run until the context ends, and survive errors by trying again.
func (s *Service) FollowRevisions(ctx context.Context) error   { return errSoon } // revisions → releases
func (s *Service) HandOver(ctx context.Context) error          { return errSoon } // whole releases → own statistics
func (s *Service) SequenceLog(ctx context.Context) error       { return errSoon } // integrates the log every 100 ms
func (s *Service) DeliverAgreements(ctx context.Context) error { return errSoon } // signatures → partners by Courier
