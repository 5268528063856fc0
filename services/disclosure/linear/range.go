package linear

import (
	"fmt"
	"math/big"
	"sync"
)

// Range is what was proved of the values that an unknown takes in a region: there are points in which it is Low and in
// which it is High, and so all between, and none in which it is below Least or above Most.
type Range struct{ Low, High, Least, Most *big.Rat }

// Known returns the range of an unknown of which the value is known.
func Known(value int64) Range {
	v := new(big.Rat).SetInt64(value)
	return Range{v, v, v, v}
}

// Exact reports whether nothing is left open.
func (r Range) Exact() bool { return r.Low.Cmp(r.Least) == 0 && r.High.Cmp(r.Most) == 0 }

// wide reports whether the interval is proved to be as wide.
func (r Range) wide(width int64) bool {
	return new(big.Rat).Sub(r.High, r.Low).Cmp(new(big.Rat).SetInt64(width)) >= 0
}

// Effort says how hard the ends of ranges are sought.
type Effort struct {
	Steps   int             // of the simplex method for each end
	Workers int             // that share the unknowns; 0 stands for 1
	Stop    <-chan struct{} // once it is closed, what is proved by then is the answer; nil: never
	Widths  []int64         // one for each of the unknowns: those that are not as wide yet come first; nil: none
	Points  []Point         // known points of the region. Those that turn out not to be are ignored
}

// Point is a point of a region.
type Point struct {
	Deviations  []int64 // from the inner point, one an unknown of the region
	Denominator int64   // of the deviations, above 0
}

// Ranges returns what it can prove about unknowns within an effort. Ranges are of real, not integer, points. Low and High
// are attained by points, Least and Most follow from multipliers of the equations, and both were checked in exact
// arithmetic, whatever floating point found. Where no point is known but the inner one, its value is Low and High.
// Errors are ErrRegion, and what [System.Check] returns.
func (r *Region) Ranges(unknowns []int, effort Effort) ([]Range, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if effort.Widths != nil && len(effort.Widths) != len(unknowns) {
		return nil, fmt.Errorf("%d widths of %d unknowns", len(effort.Widths), len(unknowns))
	}
	x := &exploration{region: r, reduced: r.reduce(), effort: effort}
	x.split()
	for _, p := range effort.Points {
		x.take(p)
	}
	x.run(unknowns)
	ranges := make([]Range, len(unknowns))
	for i, u := range unknowns {
		ranges[i] = x.rangeOf(u)
	}
	return ranges, nil
}

// exploration is the search for ranges.
type exploration struct {
	*reduced
	region *Region
	effort Effort
	parts  []*part
	in     []int // unknown of the reduced region → its part
	place  []int // and its number there
}

// part is unknowns of a reduced region that equations link to no others.
type part struct {
	members      []int
	system       *System
	lower, upper []int64
	ends         []end // 2u: of the unknown u; 2u+1: of −u
}

// end is what is known of the least deviation of an unknown, or of the unknown times −1.
type end struct {
	attained *big.Rat // by a point of the region; ≤ 0
	about    float64  // the same
	limit    *big.Rat // no point has less
}

func (e *end) settled() bool { return e.attained.Cmp(e.limit) == 0 }

// lower notes that a point attains a deviation.
func (e *end) lower(deviation *big.Rat) {
	if deviation.Cmp(e.attained) < 0 {
		e.attained = deviation
		e.about, _ = deviation.Float64()
	}
}

// raise notes that no point has less.
func (e *end) raise(limit *big.Rat) {
	if limit.Cmp(e.limit) > 0 {
		e.limit = limit
	}
}

// split cuts the reduced region into its parts.
func (x *exploration) split() {
	members, of := x.system.components()
	x.in, x.place = of, make([]int, x.system.Unknowns)
	for _, some := range members {
		p := &part{members: some, system: &System{Unknowns: len(some)}}
		for i, u := range some {
			x.place[u] = i
			p.lower, p.upper = append(p.lower, x.lower[u]), append(p.upper, x.upper[u])
			p.ends = append(p.ends, newEnd(x.lower[u]), newEnd(-x.upper[u]))
		}
		x.parts = append(x.parts, p)
	}
	for _, equation := range x.system.Equations {
		p := x.parts[of[equation[0].Unknown]]
		own := make(Equation, len(equation))
		for i, t := range equation {
			own[i] = Term{Unknown: x.place[t.Unknown], Coefficient: t.Coefficient}
		}
		p.system.Equations = append(p.system.Equations, own)
	}
}

func newEnd(bound int64) end { return end{attained: new(big.Rat), limit: new(big.Rat).SetInt64(bound)} }

// take notes what a point attains, if it is one of the region.
func (x *exploration) take(p Point) {
	r := x.region
	if p.Denominator < 1 || len(p.Deviations) != r.System.Unknowns || !r.System.Holds(p.Deviations) {
		return
	}
	denominator := big.NewInt(p.Denominator)
	for u, d := range p.Deviations {
		low := new(big.Int).Mul(big.NewInt(r.Lower[u]-r.Inside[u]), denominator)
		high := new(big.Int).Mul(big.NewInt(r.Upper[u]-r.Inside[u]), denominator)
		if deviation := big.NewInt(d); deviation.Cmp(low) < 0 || deviation.Cmp(high) > 0 {
			return
		}
	}
	for u, d := range p.Deviations {
		if at := x.of[u]; at >= 0 && d != 0 {
			part, place := x.parts[x.in[at]], x.place[at]
			part.ends[2*place].lower(big.NewRat(d*x.sign[u], p.Denominator))
			part.ends[2*place+1].lower(big.NewRat(-d*x.sign[u], p.Denominator))
		}
	}
}

// rangeOf returns what is known of an unknown of the region.
func (x *exploration) rangeOf(u int) Range {
	at := x.of[u]
	if at < 0 {
		return Known(x.region.Inside[u])
	}
	inside := new(big.Rat).SetInt64(x.region.Inside[u])
	ends := x.parts[x.in[at]].ends[2*x.place[at]:]
	low, high := &ends[0], &ends[1]
	if x.sign[u] < 0 {
		low, high = high, low
	}
	add := func(deviation *big.Rat) *big.Rat { return new(big.Rat).Add(inside, deviation) }
	subtract := func(deviation *big.Rat) *big.Rat { return new(big.Rat).Sub(inside, deviation) }
	return Range{add(low.attained), subtract(high.attained), add(low.limit), subtract(high.limit)}
}

// job is an unknown of a part whose ends are sought.
type job struct {
	part, unknown int
	width         int64 // that is enough; 0: none is
}

// run lets the workers seek the ends, and puts together what they found.
func (x *exploration) run(unknowns []int) {
	jobs := x.jobs(unknowns)
	workers := max(1, min(x.effort.Workers, len(jobs)))
	found := make([]map[int]*search, workers)
	var all sync.WaitGroup
	for k := range workers {
		all.Go(func() { found[k] = x.work(jobs, k, workers) })
	}
	all.Wait()
	for _, searches := range found {
		for n, s := range searches {
			for i := range s.ends {
				e := &x.parts[n].ends[i]
				e.lower(s.ends[i].attained)
				e.raise(s.ends[i].limit)
			}
		}
	}
}

// jobs lists what is to be sought: first what must be wide and is not known to be, then all that is not settled.
func (x *exploration) jobs(unknowns []int) []job {
	var jobs []job
	listed := make([]bool, x.system.Unknowns)
	for i, u := range unknowns {
		if at := x.of[u]; at >= 0 && x.effort.Widths != nil && !x.rangeOf(u).wide(x.effort.Widths[i]) {
			jobs = append(jobs, job{x.in[at], x.place[at], x.effort.Widths[i]})
		}
	}
	for _, u := range unknowns {
		if at := x.of[u]; at >= 0 && !listed[at] {
			listed[at] = true
			jobs = append(jobs, job{part: x.in[at], unknown: x.place[at]})
		}
	}
	return jobs
}

// work does every so manieth of the jobs, from the first on. Workers share nothing, so that what they find does not
// depend on which is faster.
func (x *exploration) work(jobs []job, first, every int) map[int]*search {
	searches := map[int]*search{}
	for n := first; n < len(jobs); n += every {
		select {
		case <-x.effort.Stop:
			return searches
		default:
		}
		j := jobs[n]
		s := searches[j.part]
		if s == nil {
			s = newSearch(x.parts[j.part], x.effort)
			searches[j.part] = s
		}
		for sign := range 2 {
			if j.width == 0 || !s.wide(j.unknown, j.width) {
				s.settle(2*j.unknown + sign)
			}
		}
	}
	return searches
}
