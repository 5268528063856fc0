package sharing

import (
	"context"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Versions returns every version of the agreement, the oldest first: what was proposed, who signed it when, what the
// partner rejected, who ended it, and what was withdrawn then.
func (s *Service) Versions(ctx context.Context, id AgreementID) ([]Agreement, error) {
	versions, err := s.agreements(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fault.Missing("there is no agreement %q", id)
	}
	withdrawals, err := s.withdrawals(ctx, id)
	if err != nil {
		return nil, err
	}
	for i := range versions {
		for _, w := range withdrawals {
			if w.Version == versions[i].Terms.Version {
				versions[i].Withdrawn = append(versions[i].Withdrawn, w)
			}
		}
	}
	return versions, nil
}

// Accept signs a version of the agreement, and no other, even where a later one came in between. Again it does what
// [Service.Sign] does again.
func (s *Service) Accept(ctx context.Context, id AgreementID, version int) (Agreement, error) {
	if err := s.writable(ctx); err != nil {
		return Agreement{}, err
	}
	a, err := s.version(ctx, id, version)
	if err != nil {
		return Agreement{}, err
	}
	switch {
	case a.signedBy(s.State):
		return a, s.sendAgain(ctx, []Agreement{a})
	case a.State != Proposed:
		return Agreement{}, wrongState("version %d of agreement %s is superseded, or was ended", version, id)
	default:
		return s.signVersion(ctx, a)
	}
}

// Counter answers the partner's newest proposal of the agreement with other terms. They are its next version, signed by
// this state and sent; what was proposed can be signed no more.
func (s *Service) Counter(ctx context.Context, terms Terms) (Agreement, error) {
	if err := international(terms); err != nil {
		return Agreement{}, err
	}
	return s.counter(ctx, s.State, terms)
}

func (s *Service) counter(ctx context.Context, party StateCode, terms Terms) (Agreement, error) {
	versions, err := s.Versions(ctx, terms.ID)
	if err != nil {
		return Agreement{}, err
	}
	newest := versions[len(versions)-1]
	if newest.State != Proposed || newest.signedBy(party) || !newest.signedBy(newest.Terms.other(party)) {
		return Agreement{}, wrongState("the newest version of agreement %s is no proposal that waits for %s", terms.ID, party)
	}
	terms.Version = newest.Terms.Version + 1
	return s.propose(ctx, party, terms)
}

// Renew proposes the version in force of the agreement with another last day, "YYYY-MM-DD" or "", and else the same terms.
// It is the next version, signed by this state and sent. Also one whose last day is over can be renewed.
func (s *Service) Renew(ctx context.Context, id AgreementID, validTo string) (Agreement, error) {
	return s.renew(ctx, id, validTo, s.State, international)
}

func (s *Service) renew(ctx context.Context, id AgreementID, validTo string, party StateCode, may func(Terms) error) (Agreement, error) {
	versions, err := s.Versions(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	i := slices.IndexFunc(versions, func(a Agreement) bool { return a.State == Active })
	if i < 0 {
		return Agreement{}, wrongState("agreement %s is not one that both have signed and nobody ended", id)
	}
	terms := versions[i].Terms
	if err := may(terms); err != nil {
		return Agreement{}, err
	}
	if terms.ValidTo == "" || validTo != "" && validTo <= terms.ValidTo {
		return Agreement{}, fault.InvalidField("validTo", "%q is no later day than %q", validTo, terms.ValidTo)
	}
	terms.Version, terms.ValidTo = versions[len(versions)-1].Terms.Version+1, validTo
	return s.propose(ctx, party, terms)
}

// Decline ends a version of the agreement that is proposed, whichever is in force, and tells the partner.
func (s *Service) Decline(ctx context.Context, id AgreementID, version int, reason string) (Agreement, error) {
	a, err := s.version(ctx, id, version)
	if err != nil {
		return Agreement{}, err
	}
	if a.State != Proposed {
		return Agreement{}, wrongState("version %d of agreement %s is not a proposal that waits", version, id)
	}
	return s.end(ctx, a, reason)
}

// propose keeps terms with the signature of a party that signs here, both or neither, and sends them to a partner.
func (s *Service) propose(ctx context.Context, party StateCode, terms Terms) (Agreement, error) {
	if err := s.writable(ctx); err != nil {
		return Agreement{}, err
	}
	for _, check := range []func() error{
		func() error { return s.check(terms) },
		func() error { return s.understands(ctx, terms) },
		func() error { return s.keepsClear(ctx, terms) },
	} {
		if err := check(); err != nil {
			return Agreement{}, err
		}
	}
	document, err := terms.Document()
	if err != nil {
		return Agreement{}, err
	}
	if err := s.fitsBefore(ctx, terms); err != nil {
		return Agreement{}, err
	}
	ours, err := s.sign(agreementType(party), document)
	if err != nil {
		return Agreement{}, err
	}
	signed, err := s.Codec.EncodeSigned(ours)
	if err != nil {
		return Agreement{}, err
	}
	now := s.now()
	err = s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAgreement, agreementSubject(terms.ID, terms.Version, "document"), now, document)
		if err := tx.AddAgreement(ctx, terms.ID, terms.Version, document, leaf); err != nil {
			return err
		}
		leaf = newLeaf(EntryAgreement, agreementSubject(terms.ID, terms.Version, "signature", string(party)), now, signed)
		if _, err := tx.AddSignature(ctx, terms.ID, terms.Version, party, signed, leaf); err != nil {
			return err
		}
		return tx.Notify(ctx)
	})
	if err != nil {
		return Agreement{}, err
	}
	wake(s.toDeliver)
	return s.version(ctx, terms.ID, terms.Version)
}

func wrongState(format string, args ...any) error {
	return fault.New(fault.Precondition, "WRONG_STATE", format, args...)
}

// DaysLeft returns how many days the agreement is in force after today: 0 on its last day, less than 0 when it is over. It
// is false for one that is not active, or that has no last day.
func (s *Service) DaysLeft(a Agreement) (days int, ok bool) {
	last, err := time.Parse(time.DateOnly, a.Terms.ValidTo)
	if err != nil || a.State != Active {
		return 0, false
	}
	today, _ := time.Parse(time.DateOnly, s.now().Format(time.DateOnly)) // what Format writes can be read
	return int(last.Sub(today) / (24 * time.Hour)), true
}

// Expiring returns how many days the agreement is in force yet; false where it does not end within the notice.
func (s *Service) Expiring(a Agreement) (days int, ok bool) {
	days, ok = s.DaysLeft(a)
	return days, ok && days <= s.Notice
}

const warnEvery = 10 * time.Minute

// WarnOfExpiry logs once a day which agreements end within the notice, or have ended by their last day and not been renewed
// for no longer than the notice, until the context ends.
func (s *Service) WarnOfExpiry(ctx context.Context) error {
	warned := map[AgreementID]string{} // the day
	s.keep(ctx, "looking for agreements that end", warnEvery, func(ctx context.Context) error {
		return s.warnOfExpiry(ctx, warned)
	})
	return nil
}

func (s *Service) warnOfExpiry(ctx context.Context, warned map[AgreementID]string) error {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return err
	}
	today := s.now().Format(time.DateOnly)
	for _, a := range agreements {
		days, ok := s.Expiring(a)
		if !ok || days < -s.Notice || warned[a.Terms.ID] == today {
			continue
		}
		warned[a.Terms.ID] = today
		about := s.Log.With("agreement", a.Terms.ID, "version", a.Terms.Version,
			"partner", a.Terms.other(s.State), "last_day", a.Terms.ValidTo, "days_left", days)
		if days < 0 {
			about.WarnContext(ctx, "an agreement is over: nothing goes under it unless it is renewed")
		} else {
			about.WarnContext(ctx, "an agreement ends soon: it can be renewed")
		}
	}
	return nil
}
