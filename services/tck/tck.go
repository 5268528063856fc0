// Package tck is the conformance kit of comity.exchange.v1: it tells whoever writes or runs a node, in whatever language,
// whether the node keeps to the protocol, and whether it withstands a partner that does not.
//
// The kit is a partner state of its own, made up for tests, that the node under test trusts. It calls the node as a
// partner calls, and it answers where the node calls it, since half of the protocol is what a node does as the one that
// pulls. It shares the contract with the node, and none of its code beyond the formats of trust list and agreement.
//
// A [Case] is one statement about the node that is either kept or not. What cannot be seen from outside is no case: what
// a node writes into its database, for example, or how much memory it takes.
package tck

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Level says what follows from a case that a node does not keep.
type Level uint8

// The levels.
const (
	Required    Level = iota + 1 // the node does not conform
	Recommended                  // it does, but its partners are worse off
)

// String returns the level in a word.
func (l Level) String() string {
	if l == Recommended {
		return "recommended"
	}
	return "required"
}

// Case is a statement about a node.
type Case struct {
	ID       string // such as "sync.credit"; what stands before the dot is its category
	Expected string // what the node does: a sentence without its subject
	Level    Level
	Faults   []string // the rows of docs/faults.md that it is about, such as "F11"; none: it is about the protocol as such

	needs need
	run   func(context.Context, *kit) error
}

// need is what a case cannot be run without.
type need uint8

const (
	needsProvided  need = 1 << iota // the agreement under which the node provides is in force
	needsReceived                   // the agreement under which the node receives is in force
	needsAftermath                  // somebody cleans up behind the case
)

// Category returns what the case is about in a word.
func (c Case) Category() string {
	category, _, _ := strings.Cut(c.ID, ".")
	return category
}

// Cases returns all cases, in the order in which they are run.
func Cases() []Case {
	return slices.Concat(
		describeCases(), tlsCases(), identityCases(), agreementCases(), witnessCases(),
		syncCases(), fetchCases(), envelopeCases(), receiptCases(),
		calledCases(), deliverCases(), floodCases(), lastCases(),
	)
}

// Options say which node is tested, and how.
type Options struct {
	State     *State        // the kit's own, which the node trusts
	Trust     []byte        // the signed trust list with both states
	Peer      string        // where the node's exchange answers, "host:port"; "": where the trust list says
	Aftermath bool          // also the cases that somebody has to clean up behind
	Only      string        // a regular expression: the cases whose id it matches; "": all
	Wait      time.Duration // for somebody to sign the kit's agreements at the node; 0: two minutes
	Patience  time.Duration // for the node to do what it does in its own time, such as to call again; 0: 30 seconds
	Quiet     time.Duration // after which nothing more is taken to come; 0: half a second
	Frames    int           // messages of a few bytes that the node is flooded with; 0: a million
	Say       func(string)  // is told what the kit waits for; nil: nobody is
}

// Run runs the cases against a node and returns what came of each. An error says that the kit could not begin; what the
// node does wrong is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	only, err := regexp.Compile(o.Only)
	if err != nil {
		return nil, fmt.Errorf("the choice of cases: %w", err)
	}
	o.Wait, o.Patience = cmp.Or(o.Wait, 2*time.Minute), cmp.Or(o.Patience, 30*time.Second)
	o.Quiet = cmp.Or(o.Quiet, 500*time.Millisecond)
	o.Frames = cmp.Or(o.Frames, 1_000_000)
	if o.Say == nil {
		o.Say = func(string) {}
	}
	cases := slices.DeleteFunc(Cases(), func(c Case) bool { return !only.MatchString(c.ID) })
	k, err := openKit(ctx, o)
	if err != nil {
		return nil, err
	}
	defer k.close()
	if err := k.knock(ctx); err != nil {
		return nil, err
	}
	report := &Report{State: string(k.peer.Code), Address: k.address, Begin: time.Now()}
	if slices.ContainsFunc(cases, func(c Case) bool { return c.needs&(needsProvided|needsReceived) != 0 }) {
		if err := k.agree(ctx, cases); err != nil {
			return nil, err
		}
	}
	k.watch(ctx, cases)
	for _, c := range cases {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		err := k.try(ctx, c)
		report.Results = append(report.Results, newResult(c, err, time.Since(began)))
	}
	report.Took = time.Since(report.Begin)
	return report, nil
}

// try runs a case if what it needs is there.
func (k *kit) try(ctx context.Context, c Case) error {
	switch {
	case c.needs&needsProvided != 0 && !k.provided.inForce():
		return skipped("agreement %s is not signed by %s", k.provided.terms.ID, k.peer.Code)
	case c.needs&needsReceived != 0 && !k.received.inForce():
		return skipped("agreement %s is not signed by %s", k.received.terms.ID, k.peer.Code)
	case c.needs&needsAftermath != 0 && !k.aftermath:
		return asked("somebody has to clean up behind it: it runs with --aftermath")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*k.patience)
	defer cancel()
	err := c.run(ctx, k)
	if err != nil && c.needs&needsReceived != 0 {
		k.line = newLine() // where the node stands is not known, and two envelopes for one place would be a word broken
	}
	return err
}

// skip says why a case could not be tried.
type skip struct {
	reason  string
	unasked bool // nobody asked for it
}

// Error returns the reason.
func (s *skip) Error() string { return s.reason }

func skipped(format string, args ...any) error { return &skip{reason: fmt.Sprintf(format, args...)} }

func asked(reason string) error { return &skip{reason: reason, unasked: true} }

// first takes steps in order, and returns the error of the first that has one.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
