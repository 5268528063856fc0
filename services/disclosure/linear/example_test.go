package linear_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// seeded is a source of random bytes that is the same in every run.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// cube is a table of one or more dimensions, each of some parts and their total, without hierarchies.
type cube struct {
	sizes  []int // parts a dimension; the total comes after them
	system linear.System
}

func newCube(sizes ...int) cube {
	c := cube{sizes: sizes}
	c.system.Unknowns = 1
	for _, n := range sizes {
		c.system.Unknowns *= n + 1
	}
	for cell := range c.system.Unknowns {
		stride := 1
		for _, n := range sizes {
			if cell/stride%(n+1) == n {
				sum := linear.Equation{{Unknown: cell, Coefficient: 1}}
				for i := range n {
					sum = append(sum, linear.Term{Unknown: cell - (n-i)*stride, Coefficient: -1})
				}
				c.system.Equations = append(c.system.Equations, sum)
			}
			stride *= n + 1
		}
	}
	return c
}

// cell returns the unknown at a place, one part a dimension.
func (c cube) cell(place ...int) int {
	cell, stride := 0, 1
	for d, n := range c.sizes {
		cell += place[d] * stride
		stride *= n + 1
	}
	return cell
}

// values returns the cells of the table with the given values of its inner cells.
func (c cube) values(inner func() int64) []int64 {
	values := make([]int64, c.system.Unknowns)
	for cell := range values {
		// The total of the last dimension with a total at this cell comes after all its parts.
		stride, total := 1, -1
		var n int
		for _, size := range c.sizes {
			if cell/stride%(size+1) == size {
				total, n = stride, size
			}
			stride *= size + 1
		}
		if total < 0 {
			values[cell] = inner()
			continue
		}
		for i := range n {
			values[cell] += values[cell-(n-i)*total]
		}
	}
	return values
}

// hidden returns a share of the cells, at random.
func (c cube) hidden(share float64, r *rand.Rand) []int {
	var hidden []int
	for cell := range c.system.Unknowns {
		if r.Float64() < share {
			hidden = append(hidden, cell)
		}
	}
	return hidden
}

func ExampleSystem_Determined() {
	// Every row and every column of this table hides two cells or none, and still (w, b) can be computed.
	table := newCube(4, 4)
	w, x, y, z := 0, 1, 2, 3
	a, b, c, d := 0, 1, 2, 3
	hidden := []int{
		table.cell(a, w), table.cell(b, w), table.cell(c, w), table.cell(a, x), table.cell(c, x),
		table.cell(b, y), table.cell(d, y), table.cell(b, z), table.cell(d, z),
	}
	determined, err := table.system.Determined(hidden, bytes.NewReader(make([]byte, 32)))
	fmt.Println(slices.Equal(determined, []int{table.cell(b, w)}), err)
	weights, _ := table.system.Isolate(hidden, table.cell(b, w))
	fmt.Println(len(weights), "equations")
	// Output:
	// true <nil>
	// 4 equations
}

func TestCubesOfTestsAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []cube{newCube(4), newCube(4, 3), newCube(2, 3, 4), newCube(2, 2, 3, 2)} {
		if err := c.system.Check(); err != nil {
			t.Error(err)
		}
		if values := c.values(func() int64 { return r.Int64N(50) }); !c.system.Holds(values) {
			t.Errorf("%v: %v does not add", c.sizes, values)
		}
	}
}
