package main

import (
	"context"
	"log/slog"

	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/sharing"
)

// otherPolicies opens policies that are not in force.
type otherPolicies struct {
	inForce *policy.Engine
	log     *slog.Logger
}

// OpenArchive opens the policy in an archive.
func (o otherPolicies) OpenArchive(ctx context.Context, archive []byte) (sharing.Policy, error) {
	return policy.OpenArchive(ctx, archive, o.log)
}

// OpenCandidate opens the policy of a bundle.
func (o otherPolicies) OpenCandidate(ctx context.Context, bundle []byte) (sharing.Policy, error) {
	return o.inForce.OpenCandidate(ctx, bundle)
}
