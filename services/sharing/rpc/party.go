package rpc

import (
	"context"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// party returns for whom the caller speaks: an agency of the state, as its token says, or the state.
func (s *Server) party(ctx context.Context) sharing.StateCode {
	if person := rpc.CallerFrom(ctx).Person; person != nil && person.Agency != "" {
		return s.service.State + "/" + sharing.StateCode(person.Agency)
	}
	return s.service.State
}

// sees reports whether the caller may see the terms: an agency sees those that it is a party to, the state all.
func (s *Server) sees(ctx context.Context, terms sharing.Terms) bool {
	party := s.party(ctx)
	return party == s.service.State || party == terms.Provider || party == terms.Receiver
}

// agreementFor returns the version in force of an agreement, else the newest, where the caller may see it.
func (s *Server) agreementFor(ctx context.Context, id sharing.AgreementID) (sharing.Agreement, error) {
	found, err := s.service.Agreement(ctx, id)
	if err == nil && !s.sees(ctx, found.Terms) {
		return sharing.Agreement{}, fault.Missing("there is no agreement %q", id)
	}
	return found, err
}
