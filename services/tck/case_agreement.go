package tck

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// scratch returns terms that nobody is to sign: an agreement of its own for each call.
func (k *kit) scratch() sharing.Terms {
	terms := k.received.terms
	terms.ID, terms.Version = sharing.AgreementID("scratch-"+newID()), 1
	terms.Text = "Made by a run of the conformance kit, which ends it. Nobody needs to sign it."
	return terms
}

// document returns the bytes of terms.
func document(terms sharing.Terms) []byte {
	text, err := terms.Document()
	if err != nil {
		panic(err) // terms are strings and numbers
	}
	return text
}

// terminate returns the kit's word that an agreement ends.
func (k *kit) terminate(terms sharing.Terms) *exchangepb.Termination {
	return &exchangepb.Termination{
		Agreement: string(terms.ID), Version: int32(terms.Version), State: string(k.own.Code), //nolint:gosec // a version is small
		Reason: "the conformance kit is through with it", CreateTime: timestamppb.Now(),
	}
}

func terminates(key ed25519.PrivateKey, t *exchangepb.Termination) *exchangepb.AnswerRequest {
	return &exchangepb.AnswerRequest{Answer: &exchangepb.AnswerRequest_Termination{
		Termination: sign(key, sharing.TerminationType, encode(t)),
	}}
}

func answers(signed *exchangepb.Signed) *exchangepb.AnswerRequest {
	return &exchangepb.AnswerRequest{Answer: &exchangepb.AnswerRequest_Agreement{Agreement: signed}}
}

// agreementCases are about what the node lets itself be told about agreements.
func agreementCases() []Case {
	one := func(id, expected string, run func(context.Context, *kit) error) Case {
		return Case{ID: "agreement." + id, Expected: expected, Level: Required, run: run}
	}
	// refused is a proposal that the node does not take.
	refused := func(id, expected string, proposal func(*kit) (*exchangepb.Signed, error)) Case {
		return one(id, expected, func(ctx context.Context, k *kit) error {
			signed, err := proposal(k)
			if err != nil {
				return err
			}
			return refuses(k.propose(ctx, k.client, signed))
		})
	}
	good := func(k *kit, payload []byte) *exchangepb.Signed {
		return sign(k.own.signing, sharing.AgreementType, payload)
	}
	stranger := func() (ed25519.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return []Case{
		one("proposed", "takes a proposal, and the same again as the same, and lets its proposer end it", func(ctx context.Context, k *kit) error {
			terms := k.scratch()
			signed := good(k, document(terms))
			return first(
				func() error { return k.propose(ctx, k.client, signed) },
				func() error { return k.propose(ctx, k.client, signed) },
				func() error { return k.answer(ctx, terminates(k.own.signing, k.terminate(terms))) },
				func() error { return k.answer(ctx, terminates(k.own.signing, k.terminate(terms))) },
			)
		}),
		one("other-terms", "does not take other terms under an id and version that it knows", func(ctx context.Context, k *kit) error {
			terms := k.scratch()
			if err := k.propose(ctx, k.client, good(k, document(terms))); err != nil {
				return err
			}
			other := terms
			other.MinimumFrequency++
			err := refuses(k.propose(ctx, k.client, good(k, document(other))), codes.AlreadyExists, codes.InvalidArgument, codes.FailedPrecondition)
			if ending := k.answer(ctx, terminates(k.own.signing, k.terminate(terms))); err == nil {
				err = ending
			}
			return err
		}),
		refused("unsigned", "does not take a proposal that nobody has signed", func(k *kit) (*exchangepb.Signed, error) {
			signed := good(k, document(k.scratch()))
			signed.Signatures = nil
			return signed, nil
		}),
		refused("stranger", "does not take a proposal that a key has signed which is not on the trust list", func(k *kit) (*exchangepb.Signed, error) {
			key, err := stranger()
			if err != nil {
				return nil, err
			}
			return sign(key, sharing.AgreementType, document(k.scratch())), nil
		}),
		refused("claimed", "does not take a proposal that another key has signed under the id of the right one", func(k *kit) (*exchangepb.Signed, error) {
			key, err := stranger()
			if err != nil {
				return nil, err
			}
			public, _ := k.own.signing.Public().(ed25519.PublicKey)
			return signAs(key, sharing.KeyID(public), sharing.AgreementType, document(k.scratch())), nil
		}),
		refused("altered", "does not take terms that were changed after they were signed", func(k *kit) (*exchangepb.Signed, error) {
			terms := k.scratch()
			signed := good(k, document(terms))
			terms.MinimumFrequency++
			signed.Payload = document(terms)
			return signed, nil
		}),
		refused("type", "does not take what was signed as something else", func(k *kit) (*exchangepb.Signed, error) {
			return sign(k.own.signing, sharing.ReceiptType, document(k.scratch())), nil
		}),
		refused("relabelled", "does not take what was signed as something else and says that it is an agreement", func(k *kit) (*exchangepb.Signed, error) {
			signed := sign(k.own.signing, sharing.ReceiptType, document(k.scratch()))
			signed.PayloadType = sharing.AgreementType
			return signed, nil
		}),
		refused("malformed", "does not take a document that cannot be read", func(k *kit) (*exchangepb.Signed, error) {
			return good(k, []byte(`{"id": "scratch`)), nil
		}),
		refused("form", "does not take a document in another form than the one that is signed", func(k *kit) (*exchangepb.Signed, error) {
			return good(k, append([]byte(" "), document(k.scratch())...)), nil
		}),
		refused("unknown", "does not take terms that it does not know, and would sign without knowing", func(k *kit) (*exchangepb.Signed, error) {
			text := document(k.scratch())
			return good(k, append(bytes.TrimSuffix(text, []byte("}")), []byte(`,"alsoGives":"everything"}`)...)), nil
		}),
		refused("twice", "does not take a document in which a field stands twice", func(k *kit) (*exchangepb.Signed, error) {
			text := document(k.scratch())
			return good(k, append(bytes.TrimSuffix(text, []byte("}")), []byte(`,"minimumFrequency":1}`)...)), nil
		}),
		refused("party", "does not take an agreement that its sender is no party to", func(k *kit) (*exchangepb.Signed, error) {
			terms := k.scratch()
			terms.Provider, terms.Receiver = k.peer.Code, "nobody"
			for _, state := range k.list.States {
				if state.Code != k.own.Code && state.Code != k.peer.Code {
					terms.Receiver = state.Code
				}
			}
			return good(k, document(terms)), nil
		}),
		refused("not-ours", "does not take an agreement that it is no party to itself", func(k *kit) (*exchangepb.Signed, error) {
			terms := k.scratch()
			terms.Provider, terms.Receiver = k.own.Code, "nobody"
			return good(k, document(terms)), nil
		}),
		refused("minimum", "does not take an agreement under which any count may go", func(k *kit) (*exchangepb.Signed, error) {
			terms := k.scratch()
			terms.MinimumFrequency = 0
			return good(k, document(terms)), nil
		}),
		refused("long", "does not take a document of a megabyte", func(k *kit) (*exchangepb.Signed, error) {
			terms := k.scratch()
			terms.Text = strings.Repeat("long ", 200_000)
			return good(k, document(terms)), nil
		}),
		one("answer-unknown", "does not take an answer to an agreement that it does not know", func(ctx context.Context, k *kit) error {
			return refuses(k.answer(ctx, answers(good(k, document(k.scratch())))))
		}),
		one("answer-empty", "does not take an answer about nothing", func(ctx context.Context, k *kit) error {
			return refuses(k.answer(ctx, &exchangepb.AnswerRequest{}), codes.InvalidArgument)
		}),
		one("propose-empty", "does not take a proposal of nothing", func(ctx context.Context, k *kit) error {
			return refuses(k.propose(ctx, k.client, nil))
		}),
		one("amendment", "does not take an amendment that nobody has signed, or a key that is not on the trust list", func(ctx context.Context, k *kit) error {
			key, err := stranger()
			if err != nil {
				return err
			}
			ratify := func(signed *exchangepb.Signed) error {
				_, err := k.client.Ratify(ctx, &exchangepb.RatifyRequest{Amendment: signed})
				return refuses(err)
			}
			return first(
				func() error { return ratify(nil) },
				func() error {
					return ratify(&exchangepb.Signed{PayloadType: sharing.AmendmentType, Payload: []byte("{}")})
				},
				func() error { return ratify(sign(key, sharing.AmendmentType, []byte("{}"))) },
				func() error { return ratify(sign(k.own.signing, sharing.AmendmentType, []byte("{"))) },
			)
		}),
		one("end-forged", "does not let a key end an agreement that is not on the trust list, nor a party in the other's name", func(ctx context.Context, k *kit) error {
			terms := k.scratch()
			key, err := stranger()
			if err != nil {
				return err
			}
			forged := k.terminate(terms)
			forged.State = string(k.peer.Code)
			return first(
				func() error { return k.propose(ctx, k.client, good(k, document(terms))) },
				func() error { return refuses(k.answer(ctx, terminates(key, k.terminate(terms)))) },
				func() error { return refuses(k.answer(ctx, terminates(k.own.signing, forged))) },
				func() error { return k.answer(ctx, terminates(k.own.signing, k.terminate(terms))) },
			)
		}),
		one("end-unknown", "does not take the end of an agreement that it does not know", func(ctx context.Context, k *kit) error {
			return refuses(k.answer(ctx, terminates(k.own.signing, k.terminate(k.scratch()))))
		}),
	}
}
