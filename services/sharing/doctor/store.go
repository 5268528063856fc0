package doctor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// inForce holds the trust list of the file against the one in force.
func (e *examiner) inForce(ctx context.Context, store Store) {
	if e.trust == nil {
		return
	}
	if later, err := store.TrustList(ctx, e.trust.Version); err == nil && later != nil {
		if list, err := sharing.ReadSignedTrustList(later); err == nil {
			e.warn("trust", e.TrustList, fmt.Sprintf("it is version %d, and version %d is in force", e.trust.Version, list.Version), "put the later list there: a node that is made anew would begin with this one")
			e.trust = list.TrustList
		}
		return
	}
	kept, err := store.TrustList(ctx, e.trust.Version-1)
	switch {
	case err != nil:
		e.fail("database", "trust_list", err.Error(), "see that the service of this version has run, which makes the tables")
	case kept == nil:
		e.fail("trust", e.TrustList, fmt.Sprintf("version %d was never in force here", e.trust.Version),
			"read in /readyz, or in the log, why it is refused: a list counts only as the successor of the one in force")
	}
}

// crls looks at the revocation lists of partners. A nil store has kept none.
func (e *examiner) crls(ctx context.Context, store Store) {
	const check = "crl"
	if e.trust == nil {
		return
	}
	kept := map[string]sharing.KeptCRL{}
	if store != nil {
		lists, err := store.CRLs(ctx)
		if err != nil {
			e.fail("database", "crl", err.Error(), "see that the service of this version has run, which makes the tables")
		}
		for _, list := range lists {
			kept[string(list.State)+" "+list.Authority] = list
		}
	}
	for _, state := range e.trust.States {
		if state.CRL == nil || state.Code == e.state {
			continue
		}
		fetch := fmt.Sprintf("fetch the newest revocation list of the authority of %s, and put it there whole", state.Code)
		if e.CRLs == "" {
			e.fail(check, string(state.Code), "the trust list asks for its revocation lists, and COMITY_CRLS names no directory: it is not believed", "set COMITY_CRLS; "+fetch)
			continue
		}
		path := e.crlFile(state.Code)
		data, err := os.ReadFile(path) //nolint:gosec // as the service does
		var lists []*partner.CRL
		if err == nil {
			lists, err = partner.ReadCRLs(data, state.Roots, e.now)
		}
		if err != nil {
			e.fail(check, path, err.Error(), fetch+"; until then the last good one counts, for its grace")
		}
		for _, list := range lists {
			what := fmt.Sprintf("revocation list number %s of %s", list.Number, state.Code)
			if last, ok := kept[string(state.Code)+" "+list.Authority]; ok && later(last.Number, list.Number.String()) {
				e.fail(check, path, fmt.Sprintf("%s is older than number %s, which counts here", what, last.Number), fetch)
			}
			switch end := list.Next.Add(state.CRL.Grace()); {
			case list.Ended(e.now, state.CRL.Grace()):
				e.fail(check, path, fmt.Sprintf("%s ended at %s, and its grace at %s: the state is not believed", what, stamp(list.Next), stamp(end)), fetch)
			case !e.now.Before(list.Next):
				e.fail(check, path, fmt.Sprintf("%s is stale: the next one was due at %s; it counts until %s", what, stamp(list.Next), stamp(end)), fetch)
			}
		}
	}
}

// later reports whether a number in decimal digits is higher than another.
func later(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a > b }

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// service returns the domain over the store, to read from.
func (e *examiner) service(store Store) *sharing.Service {
	return sharing.New(sharing.Config{
		State: e.state, Store: store, Trust: sharing.NewTrust(e.trust), Codec: wire.Codec{}, Log: quiet(),
		Notice: int(e.limits.Notice.Hours() / 24),
	})
}

// agreements finds those that end soon, or ended lately without a successor.
func (e *examiner) agreements(ctx context.Context, store Store) {
	const check = "agreement"
	if e.trust == nil {
		return
	}
	service := e.service(store)
	agreements, err := service.Agreements(ctx, false)
	if err != nil {
		e.fail(check, "all agreements", err.Error(), "see whether the log still verifies: comity audit verify")
		return
	}
	for _, a := range agreements {
		renew := fmt.Sprintf("renew it, if it is still wanted: comity agreement renew %s", a.Terms.ID)
		if left, ok := service.Expiring(a); ok && left < 0 && -left <= service.Notice {
			e.warn(check, string(a.Terms.ID), fmt.Sprintf("it ended on %s: nothing goes under it", a.Terms.ValidTo), renew)
		} else if ok && left >= 0 {
			e.warn(check, string(a.Terms.ID), fmt.Sprintf("it ends on %s, in %d days", a.Terms.ValidTo, left), renew)
		}
	}
}

// queues finds what waits for partners for too long, and streams that are quarantined.
func (e *examiner) queues(ctx context.Context, store Store) {
	const check = "queue"
	queues, err := store.Queues(ctx)
	if err != nil {
		e.fail("database", "outbox", err.Error(), "see that the service of this version has run, which makes the tables")
		return
	}
	for _, queue := range queues {
		age := e.now.Sub(queue.Oldest)
		if age < e.limits.Queue {
			continue
		}
		problem := fmt.Sprintf("%d envelopes wait for it, the oldest for %s", queue.Waiting, days(age))
		advice := "see what is said of the partner below; it draws what waits by itself once it comes"
		if age < 24*e.limits.Queue {
			e.warn(check, string(queue.Partner), problem, advice)
		} else {
			e.fail(check, string(queue.Partner), problem, advice)
		}
	}
	standings, err := store.Standings(ctx)
	if err != nil {
		e.fail("database", "inbound", err.Error(), "see that the service of this version has run, which makes the tables")
		return
	}
	for code, standing := range standings {
		if standing.Quarantined {
			e.fail(check, string(code), "its stream is quarantined: it has signed two envelopes for one place",
				"compare what both say (comity quarantine list), speak to the partner, and lift it with a reason when you know why")
		}
	}
}

// logs finds logs that do not extend what was seen of them: those of partners, and this state's own.
func (e *examiner) logs(ctx context.Context, store Store) {
	const check = "log"
	if e.trust == nil {
		return
	}
	partners, err := e.service(store).Partners(ctx)
	if err != nil {
		e.fail("database", "witness", err.Error(), "see that the service of this version has run, which makes the tables")
		return
	}
	for _, p := range partners {
		if p.Fork != nil {
			e.fail(check, string(p.Code), fmt.Sprintf("%d entries were seen of its log, and it shows %d that do not extend them: nothing of it is co-signed", p.Fork.SeenSize, p.Fork.ShownSize),
				fmt.Sprintf("ask its operator by another way whether its database was restored from a backup; if so, have officers accept that its log goes on (comity fork accept %s), if not, it shows several logs: comity kill --partner %s", p.Code, p.Code))
		}
		if p.Objection != "" {
			e.fail(check, string(p.Code), fmt.Sprintf("it does not co-sign our log: %s", p.Objection),
				"if our database was restored from a backup, tell its operator what happened and when, and that officers may accept our log as it is (comity fork, at its node); if not, find out who has changed the log: comity audit verify")
		}
	}
}
