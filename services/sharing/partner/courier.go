package partner

import (
	"context"
	"errors"
	"fmt"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// Courier is the [sharing.Courier] over the exchange.
type Courier struct{ connector *Connector }

var _ sharing.Courier = (*Courier)(nil)

// NewCourier returns a courier.
func NewCourier(connector *Connector) *Courier { return &Courier{connector: connector} }

// Propose hands over an agreement that this state has signed first.
func (c *Courier) Propose(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	return c.connector.call(ctx, partner, func(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
		if _, err := client.Propose(ctx, &exchangepb.ProposeRequest{Agreement: wire.Signed(agreement)}); err != nil {
			return fmt.Errorf("proposing an agreement to %s: %w", partner, answered(err))
		}
		return nil
	})
}

// Answer hands over this state's signature under an agreement.
func (c *Courier) Answer(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	return c.answer(ctx, partner, &exchangepb.AnswerRequest{
		Answer: &exchangepb.AnswerRequest_Agreement{Agreement: wire.Signed(agreement)},
	})
}

// Terminate hands over this state's termination of an agreement.
func (c *Courier) Terminate(ctx context.Context, partner sharing.StateCode, termination sharing.Signed) error {
	return c.answer(ctx, partner, &exchangepb.AnswerRequest{
		Answer: &exchangepb.AnswerRequest_Termination{Termination: wire.Signed(termination)},
	})
}

// Confirm hands over that this state took figures out.
func (c *Courier) Confirm(ctx context.Context, partner sharing.StateCode, withdrawal sharing.Signed) error {
	return c.answer(ctx, partner, &exchangepb.AnswerRequest{
		Answer: &exchangepb.AnswerRequest_Withdrawal{Withdrawal: wire.Signed(withdrawal)},
	})
}

// Ratify hands over this state's signature under an amendment.
func (c *Courier) Ratify(ctx context.Context, partner sharing.StateCode, amendment sharing.Signed) error {
	return c.connector.call(ctx, partner, func(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
		if _, err := client.Ratify(ctx, &exchangepb.RatifyRequest{Amendment: wire.Signed(amendment)}); err != nil {
			return fmt.Errorf("handing an amendment to %s: %w", partner, answered(err))
		}
		return nil
	})
}

func (c *Courier) answer(ctx context.Context, partner sharing.StateCode, request *exchangepb.AnswerRequest) error {
	return c.connector.call(ctx, partner, func(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
		if _, err := client.Answer(ctx, request); err != nil {
			return fmt.Errorf("answering %s about an agreement: %w", partner, answered(err))
		}
		return nil
	})
}

// answered returns the error as a rejection where the partner would answer the same again. A refusal of the caller is none:
// the partner may learn of a key, or open its exchange, later.
func answered(err error) error {
	said, ok := errors.AsType[*fault.Error](rpc.Fault(err))
	if !ok {
		return err
	}
	switch said.Kind {
	case fault.Invalid, fault.NotFound, fault.Exists, fault.Precondition:
		return &sharing.Rejection{Code: said.Reason, Text: said.Message}
	default:
		return err
	}
}
