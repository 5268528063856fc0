package linear_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// pay returns what a point costs.
func pay(p *linear.Program, x []float64) float64 {
	var cost float64
	for u, v := range x {
		cost += p.Cost[u] * v
		if p.Penalty != nil {
			free := 0.0
			if p.Free != nil {
				free = p.Free[u]
			}
			cost += p.Penalty[u] * max(math.Abs(v)-free, 0)
		}
	}
	return cost
}

// misfit returns by how much a point misses the bounds and equations of a program.
func misfit(p *linear.Program, x []float64) float64 {
	var worst float64
	for u, v := range x {
		worst = max(worst, p.Lower[u]-v, v-p.Upper[u])
	}
	for _, equation := range p.System.Equations {
		var sum float64
		for _, t := range equation {
			sum += float64(t.Coefficient) * x[t.Unknown]
		}
		worst = max(worst, math.Abs(sum))
	}
	return worst
}

// cheapest tries all vertices: every choice of unknowns that rest at a bound or a kink, the others following from the
// equations.
func cheapest(p *linear.Program) float64 {
	n := p.System.Unknowns
	best := math.Inf(1)
	rest := make([]bool, n)
	x := make([]float64, n)
	follow := func() {
		if solveOthers(p.System, rest, x) && misfit(p, x) < 1e-9 {
			best = min(best, pay(p, x))
		}
	}
	var choose func(u int)
	choose = func(u int) {
		if u == n {
			follow()
			return
		}
		rest[u] = false
		choose(u + 1)
		rest[u] = true
		stops := []float64{p.Lower[u], p.Upper[u]}
		if p.Penalty != nil && p.Penalty[u] > 0 {
			free := 0.0
			if p.Free != nil {
				free = p.Free[u]
			}
			stops = append(stops, free, -free)
		}
		for _, stop := range stops {
			if !math.IsInf(stop, 0) {
				x[u] = stop
				choose(u + 1)
			}
		}
	}
	choose(0)
	return best
}

// solveOthers computes the unknowns that do not rest; false where the equations do not determine them or contradict.
func solveOthers(s *linear.System, rest []bool, x []float64) bool {
	var open []int
	for u := range rest {
		if !rest[u] {
			open = append(open, u)
		}
	}
	rows := make([][]float64, len(s.Equations))
	for e, equation := range s.Equations {
		row := make([]float64, len(open)+1)
		at := make(map[int]int, len(open))
		for i, u := range open {
			at[u] = i
		}
		for _, t := range equation {
			if i, ok := at[t.Unknown]; ok {
				row[i] = float64(t.Coefficient)
			} else {
				row[len(open)] -= float64(t.Coefficient) * x[t.Unknown]
			}
		}
		rows[e] = row
	}
	for c := range open {
		best := c
		for r := c; r < len(rows); r++ {
			if math.Abs(rows[r][c]) > math.Abs(rows[best][c]) {
				best = r
			}
		}
		if c >= len(rows) || math.Abs(rows[best][c]) < 1e-9 {
			return false
		}
		rows[c], rows[best] = rows[best], rows[c]
		for r := range rows {
			if r != c {
				factor := rows[r][c] / rows[c][c]
				for k := range rows[r] {
					rows[r][k] -= factor * rows[c][k]
				}
			}
		}
	}
	for c, u := range open {
		x[u] = rows[c][len(open)] / rows[c][c]
	}
	return true
}

// programs draws small programs in which 0 is a point: degenerate ones with many bounds at 0, fixed unknowns, dependent
// equations, kinks at 0, at bounds and beyond them.
func programs(bounded bool) *rapid.Generator[*linear.Program] {
	return rapid.Custom(func(t *rapid.T) *linear.Program {
		s := &linear.System{Unknowns: rapid.IntRange(1, 5).Draw(t, "unknowns")}
		for range rapid.IntRange(0, 4).Draw(t, "equations") {
			var equation linear.Equation
			for u := range s.Unknowns {
				if c := rapid.SampledFrom([]int64{0, 0, 1, -1, 1, -1, 2}).Draw(t, "coefficient"); c != 0 {
					equation = append(equation, linear.Term{Unknown: u, Coefficient: c})
				}
			}
			s.Equations = append(s.Equations, equation)
		}
		p := &linear.Program{System: s}
		reach := rapid.SampledFrom([]float64{0, 0, 1, 1, 2, 5, 1e6})
		if !bounded {
			reach = rapid.SampledFrom([]float64{0, 1, 5, math.Inf(1), math.Inf(1)})
		}
		for range s.Unknowns {
			p.Lower = append(p.Lower, -reach.Draw(t, "lower"))
			p.Upper = append(p.Upper, reach.Draw(t, "upper"))
			p.Cost = append(p.Cost, float64(rapid.IntRange(-3, 3).Draw(t, "cost")))
		}
		if rapid.Bool().Draw(t, "penalties") {
			for range s.Unknowns {
				p.Penalty = append(p.Penalty, float64(rapid.IntRange(0, 4).Draw(t, "penalty")))
				p.Free = append(p.Free, rapid.SampledFrom([]float64{0, 0, 1e-3, 1, 2}).Draw(t, "free"))
			}
		}
		return p
	})
}

func TestSolve(t *testing.T) {
	t.Run("finds the cheapest of all vertices", rapid.MakeCheck(func(t *rapid.T) {
		p := programs(true).Draw(t, "program")
		got, err := p.Solve(1000)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Optimal {
			t.Error("gave up")
		}
		if off := misfit(p, got.X); off > 1e-7 {
			t.Errorf("%v misses by %v", got.X, off)
		}
		if want := cheapest(p); math.Abs(got.Cost-want) > 1e-6*max(1, math.Abs(want)) || math.Abs(pay(p, got.X)-got.Cost) > 1e-7 {
			t.Errorf("cost %v at %v, want %v", got.Cost, got.X, want)
		}
	}))
	t.Run("tells where the cost has no end", rapid.MakeCheck(func(t *rapid.T) {
		p := programs(false).Draw(t, "program")
		got, err := p.Solve(1000)
		// A bound far out shows where the cost goes on falling.
		far := *p
		far.Lower, far.Upper = append([]float64(nil), p.Lower...), append([]float64(nil), p.Upper...)
		cost := func(reach float64) float64 {
			for u := range far.Lower {
				far.Lower[u], far.Upper[u] = max(p.Lower[u], -reach), min(p.Upper[u], reach)
			}
			return cheapest(&far)
		}
		near, further := cost(1e4), cost(2e4)
		falls := further < near-1
		if errors.Is(err, linear.ErrUnbounded) != falls {
			t.Fatalf("%v, but the cost is %v within 1e4 and %v within 2e4", err, near, further)
		}
		if !falls && math.Abs(got.Cost-near) > 1e-6 {
			t.Errorf("cost %v, want %v", got.Cost, near)
		}
	}))
	t.Run("goes on from where it stands when costs change", rapid.MakeCheck(func(t *rapid.T) {
		p := programs(true).Draw(t, "program")
		solver, err := linear.NewSolver(p)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			for u := range p.Cost {
				p.Cost[u] = float64(rapid.IntRange(-3, 3).Draw(t, "cost"))
				solver.SetCost(u, p.Cost[u])
			}
			got, err := solver.Solve(1000)
			if err != nil || !got.Optimal || misfit(p, got.X) > 1e-7 {
				t.Fatal(got, err)
			}
			if want := cheapest(p); math.Abs(got.Cost-want) > 1e-6*max(1, math.Abs(want)) {
				t.Errorf("cost %v at %v, want %v", got.Cost, got.X, want)
			}
		}
	}))
	t.Run("stays within the bounds at every limit", func(t *testing.T) {
		c := newCube(4, 3, 3)
		if long() {
			c = newCube(6, 5, 4)
		}
		r := rand.New(rand.NewPCG(5, 5))
		p := deviations(c, c.values(func() int64 { return r.Int64N(9) }), 0.5, r)
		p.Cost[c.cell(1, 1, 1)] = -1e6
		last := 0.0
		for limit := 0; ; limit++ {
			got, err := p.Solve(limit)
			if err != nil || misfit(p, got.X) > 1e-7 || got.Cost > last+1e-9 || got.Iterations > limit {
				t.Fatal(limit, got.Cost, last, misfit(p, got.X), err)
			}
			if last = got.Cost; got.Optimal {
				break
			}
		}
	})
	t.Run("refuses a start that is no point", func(t *testing.T) {
		s := &linear.System{Unknowns: 2, Equations: []linear.Equation{{{0, 1}, {1, -1}}}}
		for _, p := range []linear.Program{
			{System: s, Lower: []float64{1, 0}, Upper: []float64{2, 2}, Cost: []float64{0, 0}},
			{System: s, Lower: []float64{0, 0}, Upper: []float64{2, 2}, Cost: []float64{0, 0}, Start: []float64{1, 2}},
			{System: s, Lower: []float64{0, 0}, Upper: []float64{2, math.NaN()}, Cost: []float64{0, 0}},
		} {
			if _, err := p.Solve(10); !errors.Is(err, linear.ErrStart) {
				t.Error(p, err)
			}
		}
		if _, err := (&linear.Program{System: s}).Solve(10); err == nil {
			t.Error("took a program without bounds")
		}
	})
	t.Run("gives the same solution every time", func(t *testing.T) {
		c := newCube(7, 6, 3)
		solve := func() linear.Solution {
			r := rand.New(rand.NewPCG(9, 5))
			p := deviations(c, c.values(func() int64 { return r.Int64N(3) }), 0.6, r)
			p.Cost[c.cell(1, 2, 1)] = -1e6
			got, err := p.Solve(1e5)
			if err != nil || !got.Optimal {
				t.Fatal(err)
			}
			return got
		}
		if a, b := solve(), solve(); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Error(a, b)
		}
	})
}

// deviations is the program that complementary suppression solves: deviations from the values of a table, free in a share
// of the cells and costing the value elsewhere.
func deviations(c cube, values []int64, share float64, r *rand.Rand) *linear.Program {
	n := c.system.Unknowns
	p := &linear.Program{
		System: &c.system, Lower: make([]float64, n), Upper: make([]float64, n), Cost: make([]float64, n),
		Penalty: make([]float64, n), Free: make([]float64, n),
	}
	for u, v := range values {
		p.Lower[u], p.Upper[u] = -float64(v), float64(values[n-1]-v)
		if r.Float64() > share {
			p.Penalty[u] = max(1, float64(v))
			p.Free[u] = 0
		}
	}
	return p
}

func BenchmarkSolve(b *testing.B) {
	for _, c := range []cube{newCube(9, 9), newCube(9, 9, 9), newCube(12, 12, 12), newCube(6, 6, 6, 6), newCube(40, 40)} {
		b.Run(fmt.Sprintf("cells=%d,dimensions=%d", c.system.Unknowns, len(c.sizes)), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			p := deviations(c, c.values(func() int64 { return 1 + r.Int64N(40)*r.Int64N(40)*r.Int64N(2) }), 0.2, r)
			p.Cost[0], p.Upper[0] = -1e9, p.Lower[0]+50
			for u := range p.Upper {
				p.Upper[u] = max(p.Upper[u], 0)
			}
			iterations := 0
			for b.Loop() {
				got, err := p.Solve(20000)
				if err != nil || !got.Optimal {
					b.Fatal(err)
				}
				iterations = got.Iterations
			}
			b.ReportMetric(float64(iterations), "iterations")
		})
	}
}
