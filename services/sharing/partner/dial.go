// Package partner speaks to the nodes of other states: it draws the envelopes that they have for this state, and carries
// what this state says about agreements to them.
//
// Pull is the truth. A [Puller] holds one stream for each partner open, and begins it again from the cursor in the store
// whenever it breaks; what a partner notifies is a hint to hurry. Each partner has goroutines and a connection of its
// own, so that the trouble with one never delays another.
package partner

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

const (
	callTimeout = 15 * time.Second // for a call that answers at once

	// A connection on which nothing comes back for pingInterval + pingTimeout is dead, even where no packet says so. An
	// exchange port bears a ping every 20 seconds.
	pingInterval = 25 * time.Second
	pingTimeout  = 5 * time.Second

	maxMessage = 4 << 20 // bytes; an envelope has little more than 1 MiB
)

// Connector connects to the states of the trust list in force.
type Connector struct {
	trust   *sharing.Trust
	pair    *mtls.Pair
	roots   mtls.Roots
	options []mtls.Option
}

// NewConnector returns a connector that shows the certificate of this state's sharing service. Options say whom it does
// not believe beside those whom the roots of the trust list do not vouch for, see [Keeper.Options].
func NewConnector(trust *sharing.Trust, pair *mtls.Pair, options ...mtls.Option) *Connector {
	return &Connector{trust: trust, pair: pair, roots: Roots(trust), options: options}
}

// connect returns a new connection to the partner; the first call on it opens it. The caller closes it.
func (c *Connector) connect(partner sharing.StateCode) (*grpc.ClientConn, error) {
	state, ok := c.trust.State(partner)
	if !ok {
		return nil, fault.Missing("there is no partner state %q", partner)
	}
	connection, err := grpc.NewClient("passthrough:///"+state.Address,
		// Nobody but that state's sharing service may answer, by that state's own roots.
		grpc.WithTransportCredentials(mtls.NewClient(c.pair, c.roots, mtls.Identity{State: string(partner), Service: "sharing"}, c.options...)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s at %s: %w", partner, state.Address, err)
	}
	return connection, nil
}

// Describe asks the partner who it is.
func (c *Connector) Describe(ctx context.Context, partner sharing.StateCode) (described *exchangepb.DescribeResponse, err error) {
	err = c.call(ctx, partner, func(ctx context.Context, client exchangepb.ExchangeServiceClient) (err error) {
		described, err = client.Describe(ctx, &exchangepb.DescribeRequest{})
		return err
	})
	return described, err
}

// call makes one call to the partner on a connection of its own.
func (c *Connector) call(ctx context.Context, partner sharing.StateCode, do func(context.Context, exchangepb.ExchangeServiceClient) error) error {
	connection, err := c.connect(partner)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // the call is over
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx, exchangepb.NewExchangeServiceClient(connection))
}
