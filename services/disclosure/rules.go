package disclosure

import (
	"cmp"
	"math"
	"slices"
)

// Rule names what made a cell primary.
type Rule string

// The rules.
const (
	ByFrequency Rule = "MINIMUM_FREQUENCY" // fewer than the minimum, and not none
	ByDominance Rule = "DOMINANCE"         // the n largest contributors have more than k % of it
	ByPPercent  Rule = "P_PERCENT"         // a contributor can be estimated to within p %
	ByCaller    Rule = "PRESET"            // whoever made the table said so
)

// Dominance is the (n, k) rule: a cell is primary if its n largest contributions are more than k % of all.
type Dominance struct {
	N int     // at least 1
	K float64 // above 0, at most 100
}

// PQ is the rule of prior and posterior ambiguity (Cox, 1981): everybody knows every contribution to within q %
// beforehand, and the second largest contributor may not know the largest to within p % afterwards. With Q = 100 it is
// the p % rule.
type PQ struct {
	P float64 // above 0, at most Q
	Q float64 // at most 100
}

// Rules say which cells are primary, and how uncertain those must be.
type Rules struct {
	MinimumFrequency int64 // a cell of less, and above 0, is primary; 0: none is
	Dominance        *Dominance
	PPercent         *PQ
	RelativeWidth    float64 // the interval of a primary cell is at least this part of its value wide
}

// MaxRelativeWidth is the largest relative width that can be asked for.
const MaxRelativeWidth = 10

// Check returns a fault that names a parameter out of its range.
func (r *Rules) Check() error {
	if r.MinimumFrequency < 0 || r.MinimumFrequency > math.MaxInt32 {
		return fieldFault("rules.minimumFrequency", "%d is not from 0 to %d", r.MinimumFrequency, math.MaxInt32)
	}
	if d := r.Dominance; d != nil {
		if d.N < 1 {
			return fieldFault("rules.dominance.n", "%d is below 1", d.N)
		}
		if !(d.K > 0 && d.K <= 100) {
			return fieldFault("rules.dominance.k", "%v is not above 0 and at most 100", d.K)
		}
	}
	if p := r.PPercent; p != nil {
		if !(p.P > 0 && p.P <= 100) {
			return fieldFault("rules.pPercent", "%v is not above 0 and at most 100", p.P)
		}
		if !(p.Q >= p.P && p.Q <= 100) {
			return fieldFault("rules.priorPercent", "%v is not from %v to 100", p.Q, p.P)
		}
	}
	if !(r.RelativeWidth >= 0 && r.RelativeWidth <= MaxRelativeWidth) {
		return fieldFault("relativeWidth", "%v is not from 0 to %d", r.RelativeWidth, MaxRelativeWidth)
	}
	return nil
}

// Broken returns the first rule by which a cell is primary; "": none.
func (r *Rules) Broken(c Cell) Rule {
	if c.Value > 0 && c.Value < r.MinimumFrequency {
		return ByFrequency
	}
	if len(c.Contributions) == 0 || r.Dominance == nil && r.PPercent == nil {
		return ""
	}
	largest := slices.Clone(c.Contributions)
	slices.SortFunc(largest, func(a, b float64) int { return cmp.Compare(b, a) })
	total := sum(largest)
	if d := r.Dominance; d != nil && sum(largest[:min(d.N, len(largest))])*100 > d.K*total {
		return ByDominance
	}
	if p := r.PPercent; p != nil && sum(largest[min(2, len(largest)):])*p.Q < p.P*largest[0] {
		return ByPPercent
	}
	return ""
}

func sum(list []float64) float64 {
	var s float64
	for _, x := range list {
		s += x
	}
	return s
}

// Width returns how wide the interval of a primary cell of the value must be at least: as wide as the minimum frequency
// and as RelativeWidth asks, and never 0.
func (r *Rules) Width(value int64) int64 {
	return max(1, r.MinimumFrequency, int64(math.Ceil(r.RelativeWidth*float64(value)-1e-9)))
}

// Name notes of each primary cell which rule it breaks, or that its caller made it primary.
func (r *Rules) Name(t *Table) {
	for i := range t.Cells {
		if c := &t.Cells[i]; c.Status == Primary && c.Rule == "" {
			c.Rule = cmp.Or(r.Broken(*c), ByCaller)
		}
	}
}

// Apply decides the cells that are not decided. A cell that breaks a rule is primary, also one that was to be published
// or was secondary. What is left is published, and empty where it is 0. A cell of 0 that says it is published stays so:
// it is not known to be a structural zero, and may be withheld to protect others.
func (r *Rules) Apply(t *Table) {
	for i := range t.Cells {
		c := &t.Cells[i]
		broken := r.Broken(*c)
		switch {
		case c.Status == Empty:
		case broken != "":
			c.Status, c.Rule = Primary, broken
		case c.Status == Primary:
			c.Rule = cmp.Or(c.Rule, ByCaller)
		case c.Status == Undecided && c.Value == 0:
			c.Status = Empty
		case c.Status == Undecided:
			c.Status = Published
		}
	}
}
