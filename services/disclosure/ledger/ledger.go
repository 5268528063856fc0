// Package ledger keeps what an audience could compute from everything that it was ever shown.
//
// An audience is whoever may put their figures together: all partners of a clearance tier, and the public, which belongs
// to every audience. What it has seen is a [Stack]: unknowns, equations between them, and points. An unknown is a cell in
// a revision, from the revision that gave the cell its value up to the next that changed it:
//
//	cell                      revision  value
//	2024-03 · SECTOR_A · HTI         7      2   withheld
//	2024-03 · SECTOR_A · HTI         9     14   shown
//
// Releases of the revisions 7 and 8 speak of the first unknown, those from 9 of the second. Whoever takes two unknowns
// for one where they have the same value knows more, never less, so that doing so is safe.
//
// A point is a way in which withheld figures may differ from the true ones without the audience seeing it: it solves
// every equation of the stack, keeps every count between 0 and its ceiling, and moves nothing that was shown. Two points
// prove how wide the interval of an unknown is at least. A new release extends old points by 0 to its own unknowns, so
// that only its equations over withheld unknowns of before need a look: where one breaks a point, another is sought among
// the cells around. What was released stays as it is; if there is no such point the new release is cut back.
//
// Who is alone in a cell knows it. So that nobody can take his own figure off another, the points of a protected unknown
// also show that it moves in other proportions than each unknown of one contributor.
//
// Suppression on its own is decided per table by the package above; this one decides what tables give away together:
// months and their years, revisions, areas that overlap, totals that were published elsewhere, partners of one tier, and
// figures that a partner knows because it reported them itself.
package ledger

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/comity-federation/comity/services/disclosure"
)

// Cell is a figure of a release, or one that its equations need.
type Cell struct {
	Key     string            // names the cell in every release: what is counted, where, and in which period
	Value   int64             // the count, from 0 to [disclosure.MaxValue]
	Status  disclosure.Status // whether it is withheld: Primary or Secondary
	Width   int64             // of a withheld cell: how wide its interval must be; 0: it needs no protection of its own
	Ceiling int64             // no count of it is larger, as everybody knows; 0: that of the release
	Known   bool              // the audience has it from elsewhere, whatever its status: it reported the figure itself
	Single  bool              // it has one contributor, who knows it, as a count of 1 has
	Untold  bool              // of a withheld cell: the release does not tell of it, not even that it is withheld
}

// open reports whether the audience does not see the cell.
func (c Cell) open() bool { return c.Status.Suppressed() && !c.Known }

// Equation says that a cell is the sum of others. They are cells of the release, or of earlier ones at their state in the
// release's revision. A year is the sum of its months in this way.
type Equation struct {
	Total string
	Parts []string
}

// Proof is a point of a release: its cells may move so. It is as [Point], by the index of the cell.
type Proof struct {
	Cells []int
	Moves []int64 // in units of 1/[Scale]
}

// Release is a table, or several, on its way to an audience.
//
// Cells that are not shown and still could be computed, as the leaves that two overlapping areas are sums of, are listed
// as withheld cells; such as are of no table that the audience has are Untold. What an equation names is listed, or was in
// an earlier release.
type Release struct {
	ID        string
	Revision  int64 // of the data
	Ceiling   int64 // no count is larger, as everybody knows: mostly the largest figure
	Cells     []Cell
	Equations []Equation
	Proofs    []Proof // what is known to hold for the release alone; it is tried before anything is sought
}

// Options say how hard a release is tried.
type Options struct {
	Iterations int       // of the simplex method, all searches together; 0: DefaultIterations
	Random     io.Reader // for the test of ranks; 32 bytes are read of it for each stack
}

// DefaultIterations is about a minute's work.
const DefaultIterations = 1_000_000

// Cut is a cell that the ledger withheld from a release.
type Cut struct {
	Key       string
	Value     int64
	Earlier   bool   // the audience was refused this very figure before
	Protected string // if not Earlier: the cell that could be computed otherwise. Not for the audience's eyes
}

// Verdict is a release that may go out.
type Verdict struct {
	Release    Release // with the statuses that its cells got
	Cuts       []Cut
	Increments []Increment // what each of the stacks grows by, in their order
	Checked    int         // protected cells, of this release and earlier ones, whose protection was looked at
	Sought     int         // of them, those that new points were sought for
	Iterations int
}

// Reason says why a release may not go out.
type Reason string

// The reasons.
const (
	Infeasible Reason = "INFEASIBLE" // it says other than what was said before, or its equations do not hold
	Unproved   Reason = "UNPROVED"   // a cell cannot be shown to stay hidden, whatever is withheld of this release
	Exhausted  Reason = "EXHAUSTED"  // the budget of iterations is used up
)

// Refusal is the error for a release that may not go out.
type Refusal struct {
	Reason Reason
	Cell   string // that it is about; "": none
	Text   string
}

// Error says why, without a figure.
func (r *Refusal) Error() string {
	if r.Cell == "" {
		return r.Text
	}
	return r.Cell + ": " + r.Text
}

func refuse(reason Reason, cell, format string, args ...any) error {
	return &Refusal{Reason: reason, Cell: cell, Text: fmt.Sprintf(format, args...)}
}

// Admit decides about a release on everything that the audiences have seen. A release for the public goes to the stack of
// each audience, one to a partner to that of its tier. It withholds more cells of the release where it must; what the
// verdict has then passes in every stack. Nothing is written: [Verdict.Record] does that, and the stacks may not change
// in between.
//
// The error is a *[Refusal], the context's, or one of a stack's.
func Admit(ctx context.Context, stacks []Stack, release Release, o Options) (*Verdict, error) {
	verdict, _, err := admit(ctx, stacks, release, o, refusing)
	return verdict, err
}

// mode says what becomes of figures that cannot be protected.
type mode uint8

const (
	refusing  mode = iota // the release may not go
	learning              // they are exposed: the audience has them, or nearly
	recalling             // they are protected as far as they are, and exposed where they are not
)

func admit(ctx context.Context, stacks []Stack, release Release, o Options, m mode) (verdict *Verdict, exposed []string, err error) {
	if o.Iterations == 0 {
		o.Iterations = DefaultIterations
	}
	r, err := newDraft(release)
	if err != nil {
		return nil, nil, err
	}
	verdict = &Verdict{}
	views := make([]*view, len(stacks))
	for i, stack := range stacks {
		if views[i], err = newView(ctx, stack, r); err != nil {
			return nil, nil, err
		}
	}
	for _, v := range views {
		verdict.Cuts = append(verdict.Cuts, v.inherit(r)...)
	}
	for _, v := range views {
		if err := v.enter(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	audits := make([]*audit, len(views))
	for i, v := range views {
		audits[i] = &audit{view: v, draft: r, options: o, verdict: verdict, mode: m}
		if err := audits[i].run(ctx); err != nil {
			return nil, nil, err
		}
		exposed = append(exposed, audits[i].exposed...)
	}
	verdict.Release = r.Release
	for _, a := range audits {
		a.open(r)
		verdict.Increments = append(verdict.Increments, a.increment())
	}
	return verdict, exposed, nil
}

// Record appends an admitted release to the stacks that it was admitted on.
func (v *Verdict) Record(ctx context.Context, stacks []Stack) error {
	for i, stack := range stacks {
		if err := stack.Append(ctx, v.Increments[i]); err != nil {
			return fmt.Errorf("adding release %s to a ledger: %w", v.Release.ID, err)
		}
	}
	return nil
}

// draft is a release that is being decided.
type draft struct {
	Release
	index map[string]int // of each key
}

// ceiling returns what everybody knows that a cell is not above.
func (r *draft) ceiling(c Cell) int64 { return cmp.Or(c.Ceiling, r.Ceiling) }

func newDraft(release Release) (*draft, error) {
	r := &draft{Release: release, index: make(map[string]int, len(release.Cells))}
	r.Cells = append([]Cell(nil), release.Cells...)
	for i, c := range r.Cells {
		if _, twice := r.index[c.Key]; twice {
			return nil, refuse(Infeasible, c.Key, "the cell is in the release twice")
		}
		r.index[c.Key] = i
		switch {
		case c.Value < 0 || c.Value > min(r.ceiling(c), disclosure.MaxValue):
			return nil, refuse(Infeasible, c.Key, "its figure is not between 0 and its ceiling")
		case c.Status == disclosure.Undecided || c.Status > disclosure.Empty:
			return nil, refuse(Infeasible, c.Key, "nobody decided whether it is withheld")
		case c.Width < 0 || c.Width > disclosure.MaxValue:
			return nil, refuse(Infeasible, c.Key, "no interval has the width asked for")
		}
	}
	for _, p := range r.Proofs {
		if len(p.Cells) != len(p.Moves) {
			return nil, refuse(Infeasible, "", "a proof has %d cells and %d moves", len(p.Cells), len(p.Moves))
		}
		for _, i := range p.Cells {
			if i < 0 || i >= len(r.Cells) {
				return nil, refuse(Infeasible, "", "a proof moves cell %d of %d", i, len(r.Cells))
			}
		}
	}
	return r, nil
}
