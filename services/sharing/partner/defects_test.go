package partner_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// described is a node that says something wrong about itself.
func described(name string, fails string, change func(*exchangepb.DescribeResponse)) defect {
	return defect{
		name: name, fails: []string{fails},
		describe: func(_ context.Context, answer *exchangepb.DescribeResponse) { change(answer) },
	}
}

// sending is a node that signs envelopes which are not what they should be.
func sending(name string, fails []string, change func(*exchangepb.Header, *exchangepb.Envelope)) defect {
	return defect{name: name, fails: fails, say: func(s *spoiling, said *exchangepb.SyncResponse) *exchangepb.SyncResponse {
		if said.GetEnvelope() == nil {
			return said
		}
		return &exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Envelope{Envelope: s.resign(said.GetEnvelope(), change)}}
	}}
}

// deaf is a node that passes over words which it should not.
func deaf(name string, fails string, passes func(first bool, said *exchangepb.SyncRequest) bool) defect {
	return defect{name: name, fails: []string{fails}, patience: time.Second / 2, hear: func(said *exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) {
		if passes(said.GetResume() == nil, said) {
			return nil, nil
		}
		return said, nil
	}}
}

// all returns the ids of a category.
func all(category string, names ...string) []string {
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = category + "." + name
	}
	return ids
}

// cosign returns the text of a checkpoint, signed by whatever it is called with.
func cosign(s *spoiling, checkpoint string) *exchangepb.WitnessResponse {
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, s.keys.Log)
	if err != nil {
		return &exchangepb.WitnessResponse{}
	}
	return &exchangepb.WitnessResponse{Cosigned: string(signed)}
}

// defects returns ways to break the protocol, and the cases that must find each.
func defects(inward, outward *gullible) []defect {
	forever := timestamppb.New(time.Now().Add(1000 * time.Hour))
	return []defect{
		described("says that it is another state", "describe.state", func(a *exchangepb.DescribeResponse) { a.State = "bb" }),
		described("speaks another version", "describe.versions", func(a *exchangepb.DescribeResponse) { a.ProtocolVersions = []uint32{2} }),
		described("speaks of another's stream", "describe.head", func(a *exchangepb.DescribeResponse) { a.Head.Stream = "aa-bb" }),
		described("has a clock that is wrong", "describe.time", func(a *exchangepb.DescribeResponse) { a.AnswerTime = forever }),
		described("shows a checkpoint that it has not signed", "describe.checkpoint", func(a *exchangepb.DescribeResponse) {
			a.Checkpoint = strings.Replace(a.Checkpoint, "\n", "\n9", 1)
		}),
		{
			name: "believes headers", fails: []string{"identity.headers"},
			describe: func(ctx context.Context, answer *exchangepb.DescribeResponse) {
				if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("state")) > 0 {
					answer.Head.Stream = "aa-" + md.Get("state")[0]
				}
			},
		},
		{
			name: "takes every proposal", propose: func(error) error { return nil },
			fails: all("agreement", "unsigned", "stranger", "claimed", "altered", "type", "relabelled", "malformed", "form", "unknown", "twice",
				"party", "not-ours", "minimum", "long", "other-terms", "propose-empty"),
		},
		{
			name: "takes every amendment", fails: []string{"agreement.amendment"}, ratify: func(error) error { return nil },
		},
		{
			name: "takes no proposal", fails: []string{"agreement.proposed"},
			propose: func(error) error { return fault.New(fault.Denied, "ACCESS_DENIED", "no") },
		},
		{
			name: "takes every answer", fails: all("agreement", "answer-unknown", "answer-empty", "end-forged", "end-unknown"),
			answer: func(error) error { return nil },
		},
		{
			name:  "co-signs everything",
			fails: all("witness", "split", "split-same", "shorter", "unproved", "misproved", "garbled", "stranger", "other-log", "endless", "size"),
			witness: func(s *spoiling, r *exchangepb.WitnessRequest, answer *exchangepb.WitnessResponse, err error) (*exchangepb.WitnessResponse, error) {
				if err == nil && (answer.GetCosigned() != "" || r.GetOldSize() > 1<<40) {
					return answer, nil // as it should, and where the kit asks what was seen
				}
				return cosign(s, r.GetCheckpoint()), nil
			},
		},
		{
			name: "co-signs with a text of its own", fails: all("witness", "cosigns", "again"),
			witness: func(s *spoiling, r *exchangepb.WitnessRequest, answer *exchangepb.WitnessResponse, err error) (*exchangepb.WitnessResponse, error) {
				if answer.GetCosigned() != "" {
					answer.Cosigned = cosign(s, "something else\n\n").GetCosigned()
				}
				return answer, err
			},
		},
		{
			name: "fails at what is no checkpoint as if it were its own fault", fails: all("witness", "empty", "largest"),
			witness: func(_ *spoiling, r *exchangepb.WitnessRequest, answer *exchangepb.WitnessResponse, err error) (*exchangepb.WitnessResponse, error) {
				if err != nil && (r.GetCheckpoint() == "" || r.GetOldSize() > 1<<63) {
					return nil, errors.New("a bug")
				}
				return answer, err
			},
		},
		{
			name: "gives everybody more credit than they gave", fails: all("sync", "credit", "no-credit"),
			hear: func(said *exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) {
				if part, ok := said.GetPart().(*exchangepb.SyncRequest_Credit); ok {
					part.Credit++
				}
				return said, nil
			},
		},
		{
			name: "begins at the start, whatever the cursor says", fails: all("sync", "resume", "future", "largest", "epoch", "garbage", "stream"),
			hear: func(said *exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) {
				if said.GetResume() != nil {
					said.GetResume().Epoch, said.GetResume().Sequence, said.GetResume().Stream = "", 0, "aa-tk"
				}
				return said, nil
			},
		},
		deaf("passes over credit that comes first", "sync.credit-first", func(first bool, said *exchangepb.SyncRequest) bool {
			return first && said.GetCredit() == 1
		}),
		deaf("passes over a receipt that comes first", "sync.receipt-first", func(_ bool, said *exchangepb.SyncRequest) bool {
			return said.GetReceipt() != nil
		}),
		deaf("passes over what says nothing", "sync.empty", func(_ bool, said *exchangepb.SyncRequest) bool { return said.GetPart() == nil }),
		func() defect {
			seen := false
			return deaf("passes over a second cursor", "sync.cursor-twice", func(_ bool, said *exchangepb.SyncRequest) bool {
				before := seen
				seen = said.GetResume() != nil
				return before && seen
			})
		}(),
		{
			name: "breaks down at a receipt that it does not take", fails: all("receipt", "unsigned", "forged", "other", "unsent", "garbled"),
			hear: func(said *exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) {
				if said.GetReceipt() != nil {
					return nil, errors.New("a bug")
				}
				return said, nil
			},
		},
		{
			name: "flips a bit of each signature", fails: []string{"envelope.signature"},
			say: func(_ *spoiling, said *exchangepb.SyncResponse) *exchangepb.SyncResponse {
				envelope := &exchangepb.Envelope{}
				if said.GetEnvelope() == nil || proto.Unmarshal(said.GetEnvelope(), envelope) != nil {
					return said
				}
				envelope.Header.Signatures[0].Signature[9] ^= 1
				data, err := proto.Marshal(envelope)
				if err != nil {
					return nil
				}
				return &exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Envelope{Envelope: data}}
			},
		},
		sending("sends what is wrong in every way", all("envelope", "parties", "payload", "sequence", "chain", "times", "agreement", "release", "content"),
			func(h *exchangepb.Header, e *exchangepb.Envelope) {
				h.Receiver, h.Sequence, h.PreviousSha256, h.ExpireTime = "bb", 7, nil, h.GetCreateTime()
				h.AgreementVersion++
				h.PayloadSha256[3] ^= 1
				h.ReleaseSha256[3] ^= 1
				block, err := wire.Codec{}.DecodePayload(e.GetPayload())
				if err != nil {
					return
				}
				block.Column("OBS_VALUE").Numbers[0] = 1
				e.Payload, _ = wire.Codec{}.EncodePayload(block)
			}),
		sending("forgets the envelope before", []string{"envelope.chain"}, func(h *exchangepb.Header, _ *exchangepb.Envelope) { h.PreviousSha256 = nil }),
		sending("sends too much, of what is not made yet", all("envelope", "size", "times"), func(h *exchangepb.Header, e *exchangepb.Envelope) {
			h.CreateTime, e.Payload = forever, make([]byte, sharing.MaxPayload+1)
		}),
		func() defect { // the next is another one each time
			n := int64(0)
			return sending("makes its envelopes anew each time", []string{"sync.same"}, func(h *exchangepb.Header, _ *exchangepb.Envelope) {
				n++
				h.CreateTime = timestamppb.New(h.GetCreateTime().AsTime().Add(time.Duration(n)))
			})
		}(),
		{
			name: "fetches from the start, whatever the cursor says", fails: all("fetch", "resume", "future", "epoch", "empty"),
			fetchIn: func(r *exchangepb.FetchRequest) { r.Resume = &exchangepb.Cursor{Stream: "aa-tk"} },
		},
		{
			name: "gives away the streams of others", fails: []string{"identity.stream"},
			fetchIn: func(r *exchangepb.FetchRequest) { r.Resume.Stream = "aa-tk" },
		},
		{
			name: "answers more than a message holds", fails: []string{"fetch.size"},
			fetch: func(answer *exchangepb.FetchResponse, err error) (*exchangepb.FetchResponse, error) {
				for len(answer.GetEnvelopes()) > 0 && proto.Size(answer) < 2<<20-200_000 {
					answer.Envelopes = append(answer.Envelopes, answer.Envelopes[0])
				}
				if len(answer.GetEnvelopes()) > 0 {
					answer.Envelopes = append(answer.Envelopes, make([]byte, 2<<20-proto.Size(answer)-4))
				}
				return answer, err
			},
		},
		{
			name: "answers other bytes than on the stream", fails: []string{"fetch.same"},
			fetch: func(answer *exchangepb.FetchResponse, err error) (*exchangepb.FetchResponse, error) {
				for i := range answer.GetEnvelopes() {
					answer.Envelopes[i] = append(bytes.Clone(answer.Envelopes[i]), 0x1a, 0)
				}
				return answer, err
			},
		},
		{
			name: "breaks down at a good receipt", fails: []string{"receipt.good"},
			fetch: func(*exchangepb.FetchResponse, error) (*exchangepb.FetchResponse, error) {
				return nil, errors.New("a bug")
			},
		},
		{
			name: "takes no request with fields of a later version", fails: []string{"describe.unknown"}, deafTo: fault.InvalidField("", "is not known"),
		},
		{name: "offers its nation's API, and methods that there are not", fails: all("describe", "method", "national"), offers: true},
		{
			name: "passes over what is no message", fails: all("sync", "utf8", "garbled", "blame"), patience: time.Second / 2,
			unread: func(error) error { return nil },
		},
		{
			name: "breaks down at what is no message", fails: []string{"sync.blame"}, unread: func(error) error { return errors.New("a bug") },
		},
		{name: "holds on to streams that nobody hears", fails: []string{"sync.leave"}, patience: time.Second / 2, clings: true},
		func() defect {
			var dead atomic.Bool
			return defect{
				name: "dies of credit without end", fails: []string{"sync.negative-credit"},
				hear: func(said *exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) {
					if said.GetCredit() == math.MaxUint32 {
						dead.Store(true)
					}
					return said, nil
				},
				calls: func() error {
					if dead.Load() {
						return errors.New("a bug")
					}
					return nil
				},
			}
		}(),
		{name: "never has enough", fails: []string{"flood.limit"}, boundless: true},
		{
			name: "does not say when to come again", fails: []string{"flood.retry"},
			calls: func() error { return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "too often") },
		},
		{
			name: "serves one caller at a time", fails: all("flood", "frames", "streams"), busy: make(chan struct{}, 1),
		},
		{
			name: "signs for every envelope",
			fails: all("deliver", "payload-bit", "header-bit", "signature-bit", "swapped", "unsigned", "stranger", "claimed", "tls-key", "type",
				"receiver", "sender", "stream", "gap", "middle", "expired", "agreement", "version", "long", "header-utf8", "garbage",
				"negative", "nan", "absent", "code", "duplicate", "utf8", "garbled", "bomb", "cut", "small", "person", "area", "release", "scope", "dataflow"),
			receive: func(s *spoiling, from sharing.StateCode, envelope []byte, receipt sharing.Signed, err error) (sharing.Signed, error) {
				if err == nil {
					return receipt, nil
				}
				return s.receiptFor(from, envelope)
			},
		},
		{
			name: "makes a new receipt each time", fails: all("deliver", "again", "lost"),
			receive: func(s *spoiling, from sharing.StateCode, envelope []byte, receipt sharing.Signed, err error) (sharing.Signed, error) {
				if err != nil {
					return receipt, err
				}
				return s.receiptFor(from, envelope)
			},
		},
		{
			name: "signs receipts with a key of its own", fails: []string{"deliver.receipt"},
			receive: func(_ *spoiling, _ sharing.StateCode, _ []byte, receipt sharing.Signed, err error) (sharing.Signed, error) {
				if _, key, made := ed25519.GenerateKey(rand.Reader); made == nil && err == nil {
					receipt.Signatures = (&spoiling{keys: sharing.Keys{Signing: key}}).sign(receipt.PayloadType, receipt.Payload).Signatures
				}
				return receipt, err
			},
		},
		{
			name: "signs for another encoding of what came", fails: all("deliver", "unknown", "batches", "compressed", "epoch"),
			receive: func(s *spoiling, from sharing.StateCode, envelope []byte, _ sharing.Signed, err error) (sharing.Signed, error) {
				if err != nil {
					return sharing.Signed{}, err
				}
				return s.receiptFor(from, append(bytes.Clone(envelope), 0x1a, 0))
			},
		},
		{
			name: "begins anew with each connection", fails: []string{"deliver.resume"},
			cursor: func(at sharing.Cursor) sharing.Cursor { return sharing.Cursor{Stream: at.Stream} },
		},
		{
			name: "asks for another's stream", patience: time.Second, fails: []string{"called.cursor", "called.comes", "called.credit"},
			cursor: func(at sharing.Cursor) sharing.Cursor { return sharing.Cursor{Stream: "bb-aa"} },
		},
		{
			name: "shows proofs that do not hold", fails: []string{"witness.offers"},
			offer: func(proof [][]byte, checkpoint string) ([][]byte, string) {
				for i := range proof {
					proof[i] = bytes.Repeat([]byte{7}, 32)
				}
				return proof, checkpoint
			},
		},
		{
			name: "signs for two envelopes at one place", fails: []string{"last.equivocation"},
			receive: func(s *spoiling, from sharing.StateCode, envelope []byte, receipt sharing.Signed, err error) (sharing.Signed, error) {
				if fault.Reason(err) == "EQUIVOCATION" {
					return s.receiptFor(from, envelope)
				}
				return receipt, err
			},
		},
		{
			name: "lets everybody in", inward: inward,
			fails: all("tls", "old", "plain", "nobody", "resumed", "expired", "early", "usage", "root", "intermediate", "name", "other", "service", "unnamed"),
		},
		{
			name: "speaks to everybody", outward: outward,
			fails: all("called", "old", "expired", "early", "usage", "root", "intermediate", "name", "other", "service", "unnamed"),
		},
		{name: "serves fifty connections", fails: []string{"flood.connections"}, most: 50},
		func() defect { // what went once goes on for ever
			var sent []byte
			return defect{
				name: "goes on after the end of an agreement", fails: []string{"last.ended"},
				say: func(_ *spoiling, said *exchangepb.SyncResponse) *exchangepb.SyncResponse {
					if said.GetEnvelope() != nil {
						sent = said.GetEnvelope()
						return said
					}
					if said.GetResync() != nil && sent != nil {
						return &exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Envelope{Envelope: sent}}
					}
					return said
				},
			}
		}(),
	}
}
