package tck

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc/codes"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

// witnessCases are about the logs that the two show to each other.
func witnessCases() []Case {
	one := func(id, expected string, run func(context.Context, *kit) error) Case {
		return Case{ID: "witness." + id, Expected: expected, Level: Required, Faults: []string{"F24"}, run: run}
	}
	// refused is an offer that is not co-signed, and that changes nothing of what was seen.
	refused := func(id, expected string, spoil func(k *kit, seen int64) (offer, error)) Case {
		return one(id, expected, func(ctx context.Context, k *kit) error {
			seen, err := k.grow(ctx)
			if err != nil {
				return err
			}
			bad, err := spoil(k, seen)
			if err != nil {
				return err
			}
			answer, err := k.ask(ctx, bad)
			if err == nil && answer.GetCosigned() != "" {
				return errors.New("it co-signs")
			}
			if err := refuses(err); err != nil {
				return err
			}
			if still, err := k.seen(ctx); err != nil || still != seen {
				return errors.Join(err, fmt.Errorf("after that it has seen a log of %d entries, not of %d", still, seen))
			}
			return nil
		})
	}
	return []Case{
		one("cosigns", "co-signs a checkpoint that extends the one it has seen, with its log key and over the same text", func(ctx context.Context, k *kit) error {
			_, err := k.grow(ctx)
			return err
		}),
		one("again", "co-signs the same checkpoint again", func(ctx context.Context, k *kit) error {
			seen, err := k.grow(ctx)
			if err != nil {
				return err
			}
			same, err := k.own.newOffer(seen, seen, -1, k.own.log)
			if err != nil {
				return err
			}
			return k.cosigned(ctx, same)
		}),
		one("size", "says what size it has seen, and co-signs nothing, where the proof begins at another", func(ctx context.Context, k *kit) error {
			seen, err := k.grow(ctx)
			if err != nil {
				return err
			}
			elsewhere, err := k.own.newOffer(seen+2, seen+1, -1, k.own.log)
			if err != nil {
				return err
			}
			answer, err := k.ask(ctx, elsewhere)
			switch {
			case err != nil:
				return err
			case answer.GetCosigned() != "":
				return errors.New("it co-signs without a proof")
			case answer.GetSeenSize() != uint64(seen): //nolint:gosec // a size is not negative
				return fmt.Errorf("it says that it has seen a log of %d entries, and has seen one of %d", answer.GetSeenSize(), seen)
			}
			return nil
		}),
		refused("split", "refuses another history of what it has seen", func(k *kit, seen int64) (offer, error) {
			return k.own.newOffer(seen+3, seen, seen-1, k.own.log)
		}),
		refused("split-same", "refuses another log of the size that it has seen", func(k *kit, seen int64) (offer, error) {
			return k.own.newOffer(seen, seen, seen-1, k.own.log)
		}),
		refused("shorter", "refuses a log that has become shorter", func(k *kit, seen int64) (offer, error) {
			return k.own.newOffer(seen-1, seen, -1, k.own.log)
		}),
		refused("unproved", "refuses a longer log without a proof", func(k *kit, seen int64) (offer, error) {
			o, err := k.own.newOffer(seen+3, seen, -1, k.own.log)
			o.proof = nil
			return o, err
		}),
		refused("misproved", "refuses a longer log with a wrong proof", func(k *kit, seen int64) (offer, error) {
			o, err := k.own.newOffer(seen+3, seen, -1, k.own.log)
			if err == nil {
				o.proof[0] = slices.Clone(o.proof[0])
				o.proof[0][7] ^= 1
			}
			return o, err
		}),
		refused("garbled", "refuses a proof whose hashes are none", func(k *kit, seen int64) (offer, error) {
			o, err := k.own.newOffer(seen+3, seen, -1, k.own.log)
			o.proof = [][]byte{{1, 2, 3}}
			return o, err
		}),
		refused("stranger", "refuses a checkpoint that another key has signed", func(k *kit, seen int64) (offer, error) {
			secret, _, err := note.GenerateKey(rand.Reader, k.own.log.Name())
			if err != nil {
				return offer{}, err
			}
			signer, err := note.NewSigner(secret)
			if err != nil {
				return offer{}, err
			}
			return k.own.newOffer(seen+3, seen, -1, signer)
		}),
		refused("other-log", "refuses a checkpoint of another log that the kit's key has signed", func(k *kit, seen int64) (offer, error) {
			text := checkpointText(logName("elsewhere"), seen+3, [32]byte{})
			signed, err := note.Sign(&note.Note{Text: text}, k.own.log)
			return offer{checkpoint: string(signed), oldSize: seen}, err
		}),
		refused("endless", "refuses a checkpoint whose size is no size", func(k *kit, seen int64) (offer, error) {
			text := strings.Replace(checkpointText(logName(string(k.own.Code)), 1, [32]byte{}), "\n1\n", "\n99999999999999999999\n", 1)
			signed, err := note.Sign(&note.Note{Text: text}, k.own.log)
			return offer{checkpoint: string(signed), oldSize: seen}, err
		}),
		one("largest", "survives a proof that begins beyond the largest number", func(ctx context.Context, k *kit) error {
			o, err := k.own.newOffer(1, 0, -1, k.own.log)
			if err != nil {
				return err
			}
			answer, err := k.client.Witness(ctx, &exchangepb.WitnessRequest{Checkpoint: o.checkpoint, OldSize: math.MaxUint64})
			if err == nil && answer.GetCosigned() == "" {
				return nil
			}
			return refuses(err)
		}),
		one("empty", "refuses to witness nothing", func(ctx context.Context, k *kit) error {
			_, err := k.client.Witness(ctx, &exchangepb.WitnessRequest{})
			return refuses(err, codes.InvalidArgument, codes.PermissionDenied, codes.FailedPrecondition)
		}),
	}
}

// offersCase is about the node's own log. It has grown since it was last shown, by an envelope and a receipt at least; a
// node may take a while to say so.
func offersCase(ctx context.Context, k *kit) error {
	if _, err := k.takes(ctx, k.draft(k.line).seal()); err != nil {
		return err
	}
	before, _, _ := k.witness.report()
	for end := time.Now().Add(k.patience); time.Now().Before(end); {
		time.Sleep(300 * time.Millisecond)
		k.cut()
		if _, err := k.session(ctx); err != nil {
			return err
		}
		for soon := time.Now().Add(promptly); time.Now().Before(soon); time.Sleep(20 * time.Millisecond) {
			if err := k.desk.problem("witness"); err != nil {
				return err
			}
			offers, extended, problem := k.witness.report()
			if problem != nil {
				return problem
			}
			if offers > before && extended > 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("within %s, it has not offered a checkpoint that extends what the kit has seen", k.patience)
}

// ask has the node witness an offer.
func (k *kit) ask(ctx context.Context, o offer) (*exchangepb.WitnessResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.client.Witness(ctx, &exchangepb.WitnessRequest{
		Checkpoint: o.checkpoint, OldSize: uint64(o.oldSize), Proof: o.proof, //nolint:gosec // a size is not negative
	})
}

// seen returns the size of the kit's log that the node has seen.
func (k *kit) seen(ctx context.Context) (int64, error) {
	o, err := k.own.newOffer(1, 0, -1, k.own.log)
	if err != nil {
		return 0, err
	}
	o.oldSize = math.MaxInt64 // which it has not seen
	answer, err := k.ask(ctx, o)
	if err != nil {
		return 0, fmt.Errorf("asking what it has seen of the kit's log: %w", err)
	}
	if answer.GetSeenSize() > 1<<20 {
		return 0, fmt.Errorf("it says that it has seen a log of %d entries", answer.GetSeenSize())
	}
	return int64(answer.GetSeenSize()), nil //nolint:gosec // it was just bounded
}

// grow has the node co-sign a longer log than it has seen, of at least two entries, and returns the size.
func (k *kit) grow(ctx context.Context) (int64, error) {
	seen, err := k.seen(ctx)
	if err != nil {
		return 0, err
	}
	longer, err := k.own.newOffer(seen+2, seen, -1, k.own.log)
	if err != nil {
		return 0, err
	}
	return seen + 2, k.cosigned(ctx, longer)
}

// cosigned returns an error unless the node co-signs the offer.
func (k *kit) cosigned(ctx context.Context, o offer) error {
	answer, err := k.ask(ctx, o)
	if err != nil {
		return err
	}
	if answer.GetCosigned() == "" {
		return fmt.Errorf("it does not co-sign; it has seen a log of %d entries", answer.GetSeenSize())
	}
	verifiers := note.VerifierList(k.peerLog)
	opened, err := note.Open([]byte(answer.GetCosigned()), verifiers)
	if err != nil {
		return fmt.Errorf("its co-signature: %w", err)
	}
	if text, _, _ := strings.Cut(o.checkpoint, "\n\n"); opened.Text != text+"\n" {
		return errors.New("it co-signs another text")
	}
	return nil
}
