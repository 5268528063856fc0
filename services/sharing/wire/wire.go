// Package wire turns what states sign and send to each other into its exact bytes, as comity.exchange.v1 has it, and
// back. What it decodes came from another state: fields that mean nothing are refused, never guessed.
package wire

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	blockwire "github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/sharing"
)

// Codec is the [sharing.Codec] of comity.exchange.v1.
type Codec struct{}

var _ sharing.Codec = Codec{}

// encode writes a message so that the same message gives the same bytes.
func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Signed returns the wire form of s.
func Signed(s sharing.Signed) *exchangepb.Signed {
	p := &exchangepb.Signed{PayloadType: s.PayloadType, Payload: s.Payload}
	for _, signature := range s.Signatures {
		p.Signatures = append(p.Signatures, &exchangepb.Signature{KeyId: signature.KeyID, Signature: signature.Signature})
	}
	return p
}

// SignedFromProto returns what p is the wire form of; an absent p is the zero Signed, which nobody has signed.
func SignedFromProto(p *exchangepb.Signed) sharing.Signed {
	s := sharing.Signed{PayloadType: p.GetPayloadType(), Payload: p.GetPayload()}
	for _, signature := range p.GetSignatures() {
		s.Signatures = append(s.Signatures, sharing.Signature{KeyID: signature.GetKeyId(), Signature: signature.GetSignature()})
	}
	return s
}

// Cursor returns the wire form of c.
func Cursor(c sharing.Cursor) *exchangepb.Cursor {
	return &exchangepb.Cursor{Stream: c.Stream, Epoch: c.Epoch, Sequence: c.Sequence}
}

// CursorFromProto returns what p is the wire form of; an absent p is the zero Cursor.
func CursorFromProto(p *exchangepb.Cursor) sharing.Cursor {
	return sharing.Cursor{Stream: p.GetStream(), Epoch: p.GetEpoch(), Sequence: p.GetSequence()}
}

// EncodeSigned returns the bytes of a Signed.
func (Codec) EncodeSigned(s sharing.Signed) ([]byte, error) { return encode(Signed(s)) }

// DecodeSigned reads a Signed.
func (Codec) DecodeSigned(data []byte) (sharing.Signed, error) {
	var p exchangepb.Signed
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Signed{}, err
	}
	return SignedFromProto(&p), nil
}

// EncodeHeader returns the bytes of a Header.
func (Codec) EncodeHeader(h sharing.Header) ([]byte, error) {
	version, err := int32From("agreement version", h.AgreementVersion)
	if err != nil {
		return nil, err
	}
	index, err := uint32From("batch index", h.BatchIndex)
	if err != nil {
		return nil, err
	}
	count, err := uint32From("batch count", h.BatchCount)
	if err != nil {
		return nil, err
	}
	return encode(&exchangepb.Header{
		Sender: string(h.Sender), Receiver: string(h.Receiver),
		Agreement: string(h.Agreement), AgreementVersion: version,
		Decision: string(h.Decision), PolicyRevision: h.PolicyRevision,
		Stream: h.Stream, Epoch: h.Epoch, Sequence: h.Sequence, PreviousSha256: h.Previous,
		CreateTime: timestamppb.New(h.Created), ExpireTime: timestamppb.New(h.Expires),
		PayloadSha256: h.PayloadSHA256,
		Release:       string(h.Release), BatchIndex: index, BatchCount: count, ReleaseSha256: h.ReleaseSHA256,
		Dataflow: h.Dataflow, Scope: blockwire.FilterToProto(h.Scope), Codelists: h.Codelists, BaseRelease: string(h.Base),
		WarrantSha256: h.WarrantSHA256, TermsSha256: h.TermsSHA256,
	})
}

// DecodeHeader reads a Header.
func (Codec) DecodeHeader(data []byte) (sharing.Header, error) {
	var p exchangepb.Header
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Header{}, err
	}
	scope, err := blockwire.FilterFromProto(p.GetScope())
	if err != nil {
		return sharing.Header{}, fmt.Errorf("scope: %w", err)
	}
	created, err := timeFrom("create_time", p.GetCreateTime())
	if err != nil {
		return sharing.Header{}, err
	}
	expires, err := timeFrom("expire_time", p.GetExpireTime())
	if err != nil {
		return sharing.Header{}, err
	}
	return sharing.Header{
		Sender: sharing.StateCode(p.GetSender()), Receiver: sharing.StateCode(p.GetReceiver()),
		Agreement: sharing.AgreementID(p.GetAgreement()), AgreementVersion: int(p.GetAgreementVersion()),
		Decision: sharing.DecisionID(p.GetDecision()), PolicyRevision: p.GetPolicyRevision(),
		Stream: p.GetStream(), Epoch: p.GetEpoch(), Sequence: p.GetSequence(), Previous: p.GetPreviousSha256(),
		Created: created, Expires: expires, PayloadSHA256: p.GetPayloadSha256(),
		Release: sharing.ReleaseID(p.GetRelease()), BatchIndex: int(p.GetBatchIndex()), BatchCount: int(p.GetBatchCount()),
		ReleaseSHA256: p.GetReleaseSha256(), Dataflow: p.GetDataflow(), Scope: scope, Codelists: p.GetCodelists(), Base: sharing.ReleaseID(p.GetBaseRelease()),
		WarrantSHA256: p.GetWarrantSha256(), TermsSHA256: p.GetTermsSha256(),
	}, nil
}

// EncodeEnvelope returns the bytes of an Envelope.
func (Codec) EncodeEnvelope(e sharing.Envelope) ([]byte, error) {
	return encode(&exchangepb.Envelope{Header: Signed(e.Header), Payload: e.Payload, Warrant: e.Warrant})
}

// DecodeEnvelope reads an Envelope.
func (Codec) DecodeEnvelope(data []byte) (sharing.Envelope, error) {
	var p exchangepb.Envelope
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Envelope{}, err
	}
	if p.GetHeader() == nil {
		return sharing.Envelope{}, errors.New("the envelope has no header")
	}
	return sharing.Envelope{Header: SignedFromProto(p.GetHeader()), Payload: p.GetPayload(), Warrant: p.GetWarrant()}, nil
}

// EncodeWarrant returns the bytes of a Warrant.
func (Codec) EncodeWarrant(o sharing.Warrant) ([]byte, error) {
	p := &exchangepb.Warrant{Agreement: Signed(o.Agreement)}
	if o.Header != nil {
		p.Header = Signed(*o.Header)
	}
	return encode(p)
}

// DecodeWarrant reads a Warrant.
func (Codec) DecodeWarrant(data []byte) (sharing.Warrant, error) {
	var p exchangepb.Warrant
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Warrant{}, err
	}
	if p.GetAgreement() == nil {
		return sharing.Warrant{}, errors.New("the warrant has no agreement")
	}
	o := sharing.Warrant{Agreement: SignedFromProto(p.GetAgreement())}
	if p.GetHeader() != nil {
		header := SignedFromProto(p.GetHeader())
		o.Header = &header
	}
	return o, nil
}

// EncodeReceipt returns the bytes of a Receipt.
func (Codec) EncodeReceipt(r sharing.Receipt) ([]byte, error) {
	return encode(&exchangepb.Receipt{
		Sender: string(r.Sender), Receiver: string(r.Receiver), Stream: r.Stream, Epoch: r.Epoch, Sequence: r.Sequence,
		EnvelopeSha256: r.EnvelopeSHA256, ReceiveTime: timestamppb.New(r.Received),
	})
}

// DecodeReceipt reads a Receipt.
func (Codec) DecodeReceipt(data []byte) (sharing.Receipt, error) {
	var p exchangepb.Receipt
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Receipt{}, err
	}
	received, err := timeFrom("receive_time", p.GetReceiveTime())
	if err != nil {
		return sharing.Receipt{}, err
	}
	return sharing.Receipt{
		Sender: sharing.StateCode(p.GetSender()), Receiver: sharing.StateCode(p.GetReceiver()),
		Stream: p.GetStream(), Epoch: p.GetEpoch(), Sequence: p.GetSequence(),
		EnvelopeSHA256: p.GetEnvelopeSha256(), Received: received,
	}, nil
}

// EncodeTermination returns the bytes of a Termination.
func (Codec) EncodeTermination(t sharing.Termination) ([]byte, error) {
	version, err := int32From("version", t.Version)
	if err != nil {
		return nil, err
	}
	return encode(&exchangepb.Termination{
		Agreement: string(t.Agreement), Version: version, State: string(t.State), Reason: t.Reason,
		CreateTime: timestamppb.New(t.Created),
	})
}

// DecodeTermination reads a Termination.
func (Codec) DecodeTermination(data []byte) (sharing.Termination, error) {
	var p exchangepb.Termination
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Termination{}, err
	}
	created, err := timeFrom("create_time", p.GetCreateTime())
	if err != nil {
		return sharing.Termination{}, err
	}
	return sharing.Termination{
		Agreement: sharing.AgreementID(p.GetAgreement()), Version: int(p.GetVersion()),
		State: sharing.StateCode(p.GetState()), Reason: p.GetReason(), Created: created,
	}, nil
}

// EncodeWithdrawal returns the bytes of a Withdrawal.
func (Codec) EncodeWithdrawal(w sharing.Withdrawal) ([]byte, error) {
	version, err := int32From("version", w.Version)
	if err != nil {
		return nil, err
	}
	return encode(&exchangepb.Withdrawal{
		Id: w.ID, Agreement: string(w.Agreement), Version: version, State: string(w.State), Indicators: w.Indicators,
		CreateTime: timestamppb.New(w.Created),
	})
}

// DecodeWithdrawal reads a Withdrawal.
func (Codec) DecodeWithdrawal(data []byte) (sharing.Withdrawal, error) {
	var p exchangepb.Withdrawal
	if err := proto.Unmarshal(data, &p); err != nil {
		return sharing.Withdrawal{}, err
	}
	created, err := timeFrom("create_time", p.GetCreateTime())
	if err != nil {
		return sharing.Withdrawal{}, err
	}
	return sharing.Withdrawal{
		ID: p.GetId(), Agreement: sharing.AgreementID(p.GetAgreement()), Version: int(p.GetVersion()),
		State: sharing.StateCode(p.GetState()), Indicators: p.GetIndicators(), Created: created,
	}, nil
}

func timeFrom(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", field, err)
	}
	return t.AsTime(), nil
}

func int32From(what string, n int) (int32, error) {
	if n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%s %d is out of range", what, n)
	}
	return int32(n), nil
}

func uint32From(what string, n int) (uint32, error) {
	if n < 0 || n > math.MaxUint32 {
		return 0, fmt.Errorf("%s %d is out of range", what, n)
	}
	return uint32(n), nil
}
