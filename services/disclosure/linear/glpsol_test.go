package linear_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// glpsol returns the least cost of a program as GLPK finds it. Its bounds are finite.
func glpsol(t *testing.T, p *linear.Program) float64 {
	t.Helper()
	path, err := exec.LookPath("glpsol")
	if err != nil {
		t.Skip("glpsol is not installed")
	}
	var cost, equations, bounds strings.Builder
	for u := range p.Cost {
		fmt.Fprintf(&cost, " %+g x%d", p.Cost[u], u)
		fmt.Fprintf(&bounds, " %g <= x%d <= %g\n", p.Lower[u], u, p.Upper[u])
		if p.Penalty[u] > 0 { // e ≥ |x| − free costs it
			fmt.Fprintf(&cost, " %+g e%d", p.Penalty[u], u)
			fmt.Fprintf(&equations, " x%d - e%d <= %g\n x%d + e%d >= %g\n", u, u, p.Free[u], u, u, -p.Free[u])
		}
	}
	for _, equation := range p.System.Equations {
		for _, term := range equation {
			fmt.Fprintf(&equations, " %+d x%d", term.Coefficient, term.Unknown)
		}
		equations.WriteString(" = 0\n")
	}
	file := filepath.Join(t.TempDir(), "program.lp")
	text := "Minimize\n cost:" + cost.String() + "\nSubject To\n" + equations.String() + "Bounds\n" + bounds.String() + "End\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := filepath.Join(t.TempDir(), "answer")
	if out, err := exec.CommandContext(t.Context(), path, "--lp", file, "-o", answer).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := os.ReadFile(answer)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Status:\s+OPTIMAL\nObjective:\s+cost = (\S+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no optimum in %s", out[:min(len(out), 500)])
	}
	least, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return least
}

func TestSolveAgreesWithGLPK(t *testing.T) {
	cubes := []cube{newCube(5, 4), newCube(4, 4, 4), newCube(3, 3, 3, 3), newCube(12, 12)}
	if long() {
		cubes = append(cubes, newCube(7, 6, 5), newCube(9, 8, 7))
	}
	for k, c := range cubes {
		for _, zeros := range []bool{false, true} {
			t.Run(fmt.Sprintf("it costs the same on %v, zeros %v", c.sizes, zeros), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(k), 7))
				p := deviations(c, c.values(func() int64 {
					if zeros {
						return r.Int64N(5) * r.Int64N(9)
					}
					return 1 + r.Int64N(30)
				}), 0.3, r)
				for range 5 {
					p.Cost[r.IntN(len(p.Cost))] = float64(r.Int64N(2000) - 1000)
				}
				want := glpsol(t, p)
				got, err := p.Solve(50000)
				if err != nil || !got.Optimal || misfit(p, got.X) > 1e-6 {
					t.Fatal(err, got.Optimal, misfit(p, got.X))
				}
				if math.Abs(got.Cost-want) > 1e-5*max(1, math.Abs(want)) {
					t.Errorf("cost %v, want %v", got.Cost, want)
				}
			})
		}
	}
}

func TestRangesAgreeWithGLPK(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 7))
	for _, c := range []cube{newCube(8, 8), newCube(4, 4, 4), newCube(3, 3, 2, 2)} {
		t.Run(fmt.Sprintf("it is as wide on %v", c.sizes), func(t *testing.T) {
			region := hide(c, c.values(func() int64 { return r.Int64N(6) * r.Int64N(9) }), c.hidden(0.6, r))
			n := c.system.Unknowns
			p := &linear.Program{System: &c.system, Cost: make([]float64, n), Penalty: make([]float64, n), Free: make([]float64, n)}
			for u := range n {
				p.Lower, p.Upper = append(p.Lower, float64(region.Lower[u])), append(p.Upper, float64(region.Upper[u]))
			}
			for range 12 {
				u := r.IntN(n)
				got, err := rangeOf(region, u, 10000)
				if err != nil {
					t.Fatal(err)
				}
				low, _ := got.Low.Float64()
				high, _ := got.High.Float64()
				p.Cost[u] = 1
				if want := glpsol(t, p); math.Abs(low-want) > 1e-5 {
					t.Errorf("unknown %d from %v, want %v", u, low, want)
				}
				p.Cost[u] = -1
				if want := -glpsol(t, p); math.Abs(high-want) > 1e-5 {
					t.Errorf("unknown %d to %v, want %v", u, high, want)
				}
				p.Cost[u] = 0
			}
		})
	}
}
