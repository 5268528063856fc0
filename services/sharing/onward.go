package sharing

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A state passes on figures of another one, the source, under an agreement of its own that names it ([Terms.Source]), if the
// agreement by which they came grants that ([Terms.OnwardTo]). They go as they came: whole releases, the exact payloads that the
// source has signed, with its header and the document that both have signed as an [Warrant]. So the receiver checks everything
// by the keys of the source, and need not believe who passes it on.

// Warrant proves whose the figures of an envelope are, and that the state may pass them on that does.
type Warrant struct {
	Header    *Signed // the source's own for the same payload, of [HeaderType]; nil: what came before is taken back
	Agreement Signed  // the document of the agreement by which it came, of [AgreementType], with both signatures
}

// Passed says what of another state's a release passes on.
type Passed struct {
	Provider  StateCode   `json:"provider"`
	Agreement AgreementID `json:"agreement"` // by which it came
	Version   int         `json:"version"`
	Release   ReleaseID   `json:"release,omitempty"` // of the provider; "": what came before is taken back
}

// problem is what is wrong with a field of terms.
type problem struct{ field, text string }

// wrongOnward returns what is wrong with how the terms have figures passed on.
func (s *Service) wrongOnward(terms Terms) []problem {
	var wrong []problem
	say := func(field, format string, args ...any) {
		wrong = append(wrong, problem{field, fmt.Sprintf(format, args...)})
	}
	third := func(field string, code StateCode) {
		if _, ok := s.Trust.State(code); !ok || code == terms.Provider || code == terms.Receiver {
			say(field, "%q is no third state of the trust list", code)
		}
	}
	for i, code := range terms.OnwardTo {
		third("onwardTo", code)
		if slices.Contains(terms.OnwardTo[:i], code) {
			say("onwardTo", "%s stands twice", code)
		}
	}
	if len(terms.OnwardTo) > 0 && !terms.Onward {
		say("onward", "it is false, and onwardTo names states")
	}
	if len(terms.OnwardTo) > 0 && terms.Domestic() {
		say("onwardTo", "an agency passes nothing on")
	}
	if terms.Source == "" {
		return wrong
	}
	third("source", terms.Source)
	if terms.Domestic() || terms.Provider != terms.Provider.state() {
		say("source", "what another state gave goes between states only")
	}
	if terms.Onward {
		say("onward", "what is passed on is not passed on again")
	}
	if isRange(terms.Dataflow) {
		say("dataflow", "figures of a source go as they came, so that one version is named")
	}
	return wrong
}

// giver returns the state whose figures the terms are about.
func (t Terms) giver() StateCode { return cmp.Or(t.Source, t.Provider) }

// readers returns who reads the provider's figures by the terms: the receiver, and whom it may pass them on to.
func (t Terms) readers() []StateCode { return append([]StateCode{t.Receiver}, t.OnwardTo...) }

// grants returns why what comes under the terms may not be passed on under others; "": it may, while both are in force. It is
// passed on whole, so that the others have to cover all that it may contain.
func (t Terms) grants(to Terms) string {
	switch {
	case to.Source == "" || to.Source != t.Provider || to.Provider != t.Receiver:
		return fmt.Sprintf("agreement %s is not about what %s has of %s", t.ID, to.Provider, cmp.Or(to.Source, "nobody"))
	case !t.Onward || !slices.Contains(t.OnwardTo, to.Receiver):
		return fmt.Sprintf("by agreement %s, %s may pass nothing on to %s", t.ID, t.Receiver, to.Receiver)
	case t.tier() != to.tier():
		return fmt.Sprintf("agreement %s is of the tier %s, and %s of %s", t.ID, t.tier(), to.ID, to.tier())
	case !inRange(to.Dataflow, t.Dataflow):
		return fmt.Sprintf("agreement %s is about %s, and %s about %s", t.ID, t.Dataflow, to.ID, to.Dataflow)
	case len(t.Purposes) > 0 && !contains(t.Purposes, to.Purposes):
		return fmt.Sprintf("agreement %s is for purposes that agreement %s is not for", to.ID, t.ID)
	case !contains(to.Indicators, t.Indicators):
		return fmt.Sprintf("agreement %s covers indicators that agreement %s does not, and what comes under it is passed on whole", t.ID, to.ID)
	case t.RetentionDays > 0 && (to.RetentionDays == 0 || to.RetentionDays > t.RetentionDays):
		return fmt.Sprintf("agreement %s has figures removed after %d days, and %s not so soon", t.ID, t.RetentionDays, to.ID)
	case t.Afterwards == Withdraw && to.Afterwards != Withdraw:
		return fmt.Sprintf("agreement %s has figures withdrawn when it ends, and %s does not", t.ID, to.ID)
	}
	return ""
}

// contains reports whether there is something in part, and all of it is in all.
func contains(all, part []string) bool {
	return len(part) > 0 && !slices.ContainsFunc(part, func(one string) bool { return !slices.Contains(all, one) })
}

// common returns what is in both lists, in the order of the first.
func common(one, other []string) []string {
	return slices.DeleteFunc(slices.Clone(one), func(code string) bool { return !slices.Contains(other, code) })
}

// granting returns the agreements in force on the day by which what is passed on under the terms may be, by id.
func granting(agreements []Agreement, to Terms, day string) []Agreement {
	var found []Agreement
	for _, a := range agreements {
		if a.covers(day) && a.Terms.grants(to) == "" {
			found = append(found, a)
		}
	}
	return found
}

// keepDays returns for how many days figures stay that came under the terms, and under those of their source if they were passed
// on; 0: no limit. Those of the source count from when it released them.
func (t Terms) keepDays(source *incomingWarrant, now time.Time) int {
	days := t.RetentionDays
	if source == nil || source.terms.RetentionDays == 0 {
		return days
	}
	left := max(source.terms.RetentionDays-int(now.Sub(source.header.Created)/(24*time.Hour)), 1)
	if days == 0 {
		return left
	}
	return min(days, left)
}

// granted returns the terms by which the state was given figures that it may pass on to anybody, by provider and indicator, as
// policy has them.
func granted(agreements []Agreement, state StateCode) map[StateCode]map[string][]Terms {
	grants := map[StateCode]map[string][]Terms{}
	for _, a := range agreements {
		t := a.Terms
		if t.Receiver != state || len(t.OnwardTo) == 0 {
			continue
		}
		if grants[t.Provider] == nil {
			grants[t.Provider] = map[string][]Terms{}
		}
		for _, code := range t.Indicators {
			grants[t.Provider][code] = append(grants[t.Provider][code], t)
		}
	}
	return grants
}
