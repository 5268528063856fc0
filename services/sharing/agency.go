package sharing

import (
	"context"
	"regexp"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// An agency of this state is a party as another state is, by a code such as "gb/border-force". An agreement with one is
// domestic: the provider is the state itself, or another of its agencies, and both sign at this node. What goes under it goes
// as it does to a partner, by the same policy, disclosure control and ledgers, and by signed envelopes; but instead of to
// another node to this state's own statistics, as figures of the provider that has the agency's code. That is what the
// agency's people may read.
var agencyCode = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// state returns the state that a party is, or is an agency of.
func (c StateCode) state() StateCode {
	state, _, _ := strings.Cut(string(c), "/")
	return StateCode(state)
}

// isAgency reports whether the party is an agency of this state.
func (s *Service) isAgency(party StateCode) bool {
	return party.state() == s.State && agencyCode.MatchString(string(party))
}

// Domestic reports whether the terms are between parties of one state.
func (t Terms) Domestic() bool { return t.Receiver != t.Receiver.state() }

// provides reports whether the figures that the terms are about are this state's, or one of its agencies'.
func (s *Service) provides(t Terms) bool { return t.Provider.state() == s.State }

// wrongParties returns what is wrong with the parties of terms.
func (s *Service) wrongParties(terms Terms) []string {
	var wrong []string
	if terms.Domestic() {
		if !s.isAgency(terms.Receiver) {
			wrong = append(wrong, string(terms.Receiver)+" is no agency of "+string(s.State))
		}
		if terms.Provider == terms.Receiver || terms.Provider != s.State && !s.isAgency(terms.Provider) {
			wrong = append(wrong, "what an agency gets is from "+string(s.State)+", or from another of its agencies")
		}
		return wrong
	}
	if terms.Provider == terms.Receiver || terms.Provider != s.State && terms.Receiver != s.State {
		wrong = append(wrong, "the provider and the receiver are two states, and "+string(s.State)+" is one of them")
	}
	for _, party := range []StateCode{terms.Provider, terms.Receiver} {
		if _, ok := s.Trust.State(party); !ok {
			wrong = append(wrong, "state "+string(party)+" is not on the trust list")
		}
	}
	return wrong
}

// agreementType returns the media type of what a party of an agreement signs. All agencies of a state sign by its key: the
// type says for whom it did.
func agreementType(party StateCode) string {
	if party == party.state() {
		return AgreementType
	}
	return AgreementType + "; party=" + string(party)
}

// international returns a fault for terms that are signed at one node.
func international(terms Terms) error {
	if terms.Domestic() {
		return wrongState("agreement %s is between parties of one state: they alone sign it", terms.ID)
	}
	return nil
}

// asParty returns a fault unless the party is one of a domestic agreement.
func asParty(terms Terms, party StateCode) error {
	if !terms.Domestic() || party != terms.Provider && party != terms.Receiver {
		return fault.New(fault.Denied, "ACCESS_DENIED", "%s is no party to agreement %s", party, terms.ID)
	}
	return nil
}

// SignAs signs a version of a domestic agreement for one of its parties; with 0 the newest that lacks its signature. Where
// there is none, it returns what there is.
func (s *Service) SignAs(ctx context.Context, party StateCode, id AgreementID, version int) (Agreement, error) {
	if err := s.writable(ctx); err != nil {
		return Agreement{}, err
	}
	versions, err := s.Versions(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	for i := len(versions) - 1; i >= 0; i-- {
		a := versions[i]
		if err := asParty(a.Terms, party); err != nil {
			return Agreement{}, err
		}
		if version != 0 && a.Terms.Version != version || version == 0 && (a.State != Proposed || a.signedBy(party)) {
			continue
		}
		if a.signedBy(party) {
			return a, nil
		}
		if a.State != Proposed {
			return Agreement{}, wrongState("version %d of agreement %s is superseded, or was ended", version, id)
		}
		return s.signVersionAs(ctx, a, party)
	}
	if version != 0 {
		return Agreement{}, fault.Missing("there is no version %d of agreement %q", version, id)
	}
	return s.Agreement(ctx, id)
}

func (s *Service) signVersionAs(ctx context.Context, a Agreement, party StateCode) (Agreement, error) {
	for _, check := range []func(context.Context, Terms) error{s.understands, s.keepsClear} {
		if err := check(ctx, a.Terms); err != nil {
			return Agreement{}, err
		}
	}
	signed, err := s.sign(agreementType(party), a.Document)
	if err != nil {
		return Agreement{}, err
	}
	if err := s.addSignature(ctx, a.Terms, party, signed); err != nil {
		return Agreement{}, err
	}
	return s.version(ctx, a.Terms.ID, a.Terms.Version)
}

// CounterAs answers the proposal of the other party of a domestic agreement with other terms, as [Service.Counter] does a
// partner's.
func (s *Service) CounterAs(ctx context.Context, party StateCode, terms Terms) (Agreement, error) {
	if err := asParty(terms, party); err != nil {
		return Agreement{}, err
	}
	return s.counter(ctx, party, terms)
}

// RenewAs proposes the version in force of a domestic agreement with another last day, for one of its parties, as
// [Service.Renew] does.
func (s *Service) RenewAs(ctx context.Context, party StateCode, id AgreementID, validTo string) (Agreement, error) {
	return s.renew(ctx, id, validTo, party, func(terms Terms) error { return asParty(terms, party) })
}

// DeclineAs ends a version of a domestic agreement that is proposed, for one of its parties.
func (s *Service) DeclineAs(ctx context.Context, party StateCode, id AgreementID, version int, reason string) (Agreement, error) {
	a, err := s.version(ctx, id, version)
	if err != nil {
		return Agreement{}, err
	}
	if err := asParty(a.Terms, party); err != nil {
		return Agreement{}, err
	}
	if a.State != Proposed {
		return Agreement{}, wrongState("version %d of agreement %s is not a proposal that waits", version, id)
	}
	return s.endAs(ctx, a, party, reason)
}

// TerminateAs ends the version in force of a domestic agreement at once, or else its newest draft, for one of its parties.
func (s *Service) TerminateAs(ctx context.Context, party StateCode, id AgreementID, reason string) (Agreement, error) {
	a, err := s.Agreement(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	if err := asParty(a.Terms, party); err != nil {
		return Agreement{}, err
	}
	if a.State == Terminated || a.State == Superseded {
		return Agreement{}, wrongState("agreement %s is over already", id)
	}
	ended, err := s.endAs(ctx, a, party, reason)
	wake(s.toServe)
	return ended, err
}
