package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// GetDeliveryProof returns what proves one delivery.
func (s *Server) GetDeliveryProof(ctx context.Context, r *sharingpb.GetDeliveryProofRequest) (*sharingpb.GetDeliveryProofResponse, error) {
	sequence := r.GetSequence()
	if sequence < 1 {
		return nil, fault.InvalidField("sequence", "a stream begins with 1")
	}
	at := sharing.Cursor{Stream: r.GetStream(), Epoch: r.GetEpoch(), Sequence: uint64(sequence)}
	found, err := s.service.Proof(ctx, at, r.GetIncludeFigures())
	if err != nil {
		return nil, err
	}
	return &sharingpb.GetDeliveryProofResponse{Proof: proof(found)}, nil
}

func proof(p sharing.Proof) *sharingpb.DeliveryProof {
	return &sharingpb.DeliveryProof{
		State: string(p.State), Stream: p.At.Stream, Epoch: p.At.Epoch, Sequence: float64(p.At.Sequence),
		Entries: each(p.Entries, func(e sharing.ProvedEntry) *sharingpb.ProvedEntry {
			return &sharingpb.ProvedEntry{Entry: logEntry(e.LogEntry), Inclusion: e.Inclusion, Header: e.Header}
		}),
		Checkpoint: p.Checkpoint,
		Witnesses: each(p.Witnesses, func(w sharing.ProofWitness) *sharingpb.Witness {
			return &sharingpb.Witness{State: string(w.State), Cosigned: w.Cosigned, Consistency: w.Consistency}
		}),
		TrustList: p.TrustList,
	}
}

// ProofFromProto returns the proof that p is the wire form of, for those who verify it from outside.
func ProofFromProto(p *sharingpb.DeliveryProof) sharing.Proof {
	return sharing.Proof{
		State: sharing.StateCode(p.GetState()),
		At:    sharing.Cursor{Stream: p.GetStream(), Epoch: p.GetEpoch(), Sequence: uint64(max(p.GetSequence(), 0))},
		Entries: each(p.GetEntries(), func(e *sharingpb.ProvedEntry) sharing.ProvedEntry {
			return sharing.ProvedEntry{LogEntry: LogEntryFromProto(e.GetEntry()), Inclusion: e.GetInclusion(), Header: e.GetHeader()}
		}),
		Checkpoint: p.GetCheckpoint(),
		Witnesses: each(p.GetWitnesses(), func(w *sharingpb.Witness) sharing.ProofWitness {
			return sharing.ProofWitness{State: sharing.StateCode(w.GetState()), Cosigned: w.GetCosigned(), Consistency: w.GetConsistency()}
		}),
		TrustList: p.GetTrustList(),
	}
}
