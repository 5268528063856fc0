package sharing

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// child returns the child with the code, which it adds where there is none.
func (n *node) child(code string) *node {
	for _, c := range n.children {
		if c.code == code {
			return c
		}
	}
	c := &node{code: code}
	n.children = append(n.children, c)
	return c
}

// grow makes a tree from lines of codes and a value, such as "A/SYR 12"; the root's line has no code: " 40". A value
// followed by "!" is secret.
func grow(lines ...string) *node {
	root := &node{}
	for _, line := range lines {
		codes, value, _ := strings.Cut(line, " ")
		n := root
		for code := range strings.SplitSeq(codes, "/") {
			if code != "" {
				n = n.child(code)
			}
		}
		text, secret := strings.CutSuffix(value, "!")
		_, _ = fmt.Sscan(text, &n.value)
		n.secret, n.own, n.stored = secret, true, n.value
	}
	return root
}

func show(cells []cell) []string {
	var lines []string
	for _, c := range cells {
		lines = append(lines, fmt.Sprintf("%s %g", strings.Join(c.path, "/"), c.value))
	}
	slices.Sort(lines)
	return lines
}

func nothingRefused([]string, *node) bool { return false }

func TestProtect(t *testing.T) {
	tests := map[string]struct{ tree, want []string }{
		"publishes what is large enough under its own codes": {
			tree: []string{" 30", "A 10", "B 20"}, want: []string{" 30", "A 10", "B 20"},
		},
		"merges small parts that are enough together": {
			tree: []string{" 14", "A 10", "B 2", "C 2"}, want: []string{" 14", "A 10", "_O 4"},
		},
		"adds the next smallest where small parts are not enough": {
			tree: []string{" 32", "A 20", "B 2", "C 10"}, want: []string{" 32", "A 20", "_O 12"},
		},
		"makes other a member once anything is merged": {
			tree: []string{" 44", "A 20", "B 2", "C 2", "_O 20"}, want: []string{" 44", "A 20", "_O 24"},
		},
		"leaves zeros where they are": {
			tree: []string{" 22", "A 20", "B 2", "C 0"}, want: []string{" 22", "C 0", "_O 22"},
		},
		"publishes the whole alone where nothing can be merged": {
			tree: []string{" 2000", "A 2000!"}, want: []string{" 2000"},
		},
		"calls the rest of a whole other": {
			tree: []string{" 30", "A 10", "B 15"}, want: []string{" 30", "A 10", "B 15", "_O 5"},
		},
		"merges a rest that is small": {
			tree: []string{" 26", "A 10", "B 15"}, want: []string{" 26", "B 15", "_O 11"},
		},
		"publishes the whole alone where the parts exceed it": {
			tree: []string{" 20", "A 10", "B 15"}, want: []string{" 20"},
		},
		"merges a secret part however large": {
			tree: []string{" 60", "A 10", "B 20", "C 30!"}, want: []string{" 60", "B 20", "_O 40"},
		},
		"publishes nothing below a small root":  {tree: []string{" 2", "A 2"}},
		"publishes nothing below a secret root": {tree: []string{" 200!", "A 100", "B 100"}},
		"merges the parts of merged parts by code": {
			tree: []string{
				" 45", "A 20", "A/SYR 20", "B 2", "B/SYR 2", "C 23", "C/SYR 3", "C/AFG 20",
			},
			want: []string{" 45", "_O 22", "_O/SYR 22", "C 23", "C/AFG 20", "C/SYR 3"},
		},
		"protects the parts of merged parts as well": {
			tree: []string{
				" 45", "A 20", "A/SYR 19", "A/IRQ 1", "B 2", "B/IRQ 1", "B/AFG 1", "C 23", "C/SYR 23",
			},
			want: []string{" 45", "C 23", "C/SYR 23", "_O 22", "_O/SYR 19", "_O/_O 3"},
		},
		"keeps a secret part secret below merged parts": {
			tree: []string{
				" 45", "A 20", "A/SYR 10!", "A/IRQ 10", "B 2", "B/IRQ 2", "C 23", "C/SYR 23",
			},
			want: []string{" 45", "C 23", "C/SYR 23", "_O 22", "_O/_O 22"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := protection{minimum: 3, other: []bool{true, true}, refuses: nothingRefused}
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, show(p.protect(grow(test.tree...)))); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("publishes the whole alone where the codelist cannot say other", func(t *testing.T) {
		p := protection{minimum: 3, other: []bool{false}, refuses: nothingRefused}
		if diff := cmp.Diff([]string{" 14"}, show(p.protect(grow(" 14", "A 10", "B 2", "C 2")))); diff != "" {
			t.Error(diff)
		}
	})
}

// trees draws small trees of two levels. Wholes may exceed their parts, and be exceeded by them.
func trees(t *rapid.T) *node {
	codes := []string{"A", "B", "C", "D", Other}
	value := rapid.SampledFrom([]int{0, 1, 1, 2, 2, 3, 4, 5, 9, 20})
	secret := rapid.SampledFrom([]bool{false, false, false, false, true})
	rest := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 5, -1})
	root := &node{own: true}
	for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 0, 5, rapid.ID).Draw(t, "sections") {
		section := root.child(code)
		for _, code := range rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 0, 4, rapid.ID).Draw(t, "citizenships") {
			leaf := section.child(code)
			*leaf = node{code: code, value: float64(value.Draw(t, "value")), secret: secret.Draw(t, "secret"), own: true}
			section.value += leaf.value
		}
		if len(section.children) == 0 {
			section.value = float64(value.Draw(t, "section"))
		}
		section.value = max(0, section.value+float64(rest.Draw(t, "rest")))
		section.secret, section.own = secret.Draw(t, "section secret"), true
		root.value += section.value
	}
	root.value = max(0, root.value+float64(rest.Draw(t, "root rest")))
	return root
}

func TestProtectInvariants(t *testing.T) {
	const minimum = 3
	p := protection{minimum: minimum, other: []bool{true, true}, refuses: nothingRefused}
	rapid.Check(t, func(t *rapid.T) {
		tree := trees(t)
		cells := p.protect(tree)
		published, own := map[string]float64{}, map[string]bool{}
		sums, parts := map[string]float64{}, map[string]int{}
		for _, c := range cells {
			path := strings.Join(c.path, "/")
			if _, twice := published[path]; twice {
				t.Fatalf("%q is published twice", path)
			}
			published[path], own[path] = c.value, c.own
			if c.value > 0 && c.value < minimum {
				t.Errorf("%q is published with %g", path, c.value)
			}
			if len(c.path) > 0 {
				parent := strings.Join(c.path[:len(c.path)-1], "/")
				sums[parent] += c.value
				parts[parent]++
			}
		}
		for parent := range parts {
			if sums[parent] != published[parent] {
				t.Errorf("%q is %g, its parts sum to %g", parent, published[parent], sums[parent])
			}
		}
		tree.walk(nil, func(path []string, n *node) {
			if p.primary(n) && own[strings.Join(path, "/")] && n.code != Other {
				t.Errorf("%q must not be seen and is", path)
			}
		})
		checkNothingFollows(t, p, tree, cells)
	})
}

// checkNothingFollows tests by the rank of the published equations that no cell which must not be seen is a linear
// combination of published ones. The attacker is given the codes of every leaf, and which of them were merged; only
// where a cell goes alone is it not known what its parts are.
func checkNothingFollows(t *rapid.T, p protection, tree *node, cells []cell) {
	// The unknowns are the leaves, and for each cell what its parts leave; each by the codes it counts to.
	const phantom = "anything"
	var unknowns [][]string
	of := map[*node][]int{}
	var count func(path []string, n *node) []int
	count = func(path []string, n *node) []int {
		var ids, parts []int
		sum := 0.0
		for _, part := range n.children {
			sum += part.value
			parts = append(parts, count(below(path, part.code), part)...)
		}
		if sum <= n.value {
			ids = parts
		}
		if len(n.children) == 0 || sum != n.value {
			codes := slices.Clone(path)
			for len(codes) < len(p.other) {
				codes = append(codes, Other)
			}
			ids = append(ids, len(unknowns))
			unknowns = append(unknowns, codes)
		}
		if len(n.children) > 0 {
			ids = append(ids, len(unknowns))
			unknowns = append(unknowns, below(path, phantom))
		}
		of[n] = ids
		return ids
	}
	count(nil, tree)

	seen := map[string][]float64{}
	var matrix [][]float64
	for _, c := range cells {
		row := make([]float64, len(unknowns))
		matrix = append(matrix, row)
		seen[strings.Join(c.path, "/")] = row
	}
	for _, id := range of[tree] {
		path, through := "", [][]float64{}
		for _, code := range append(slices.Clone(unknowns[id]), "") {
			if seen[path] == nil {
				break
			}
			through = append(through, seen[path])
			if code == phantom && seen[strings.TrimPrefix(path+"/"+Other, "/")] != nil {
				through = nil
			}
			next := strings.TrimPrefix(path+"/"+code, "/")
			if seen[next] == nil {
				next = strings.TrimPrefix(path+"/"+Other, "/")
			}
			path = next
		}
		for _, row := range through {
			row[id] = 1
		}
	}
	rank := rankOf(matrix)
	tree.walk(nil, func(path []string, n *node) {
		if !p.primary(n) || !slices.Contains(of[tree], of[n][0]) {
			return
		}
		target := make([]float64, len(unknowns))
		for _, id := range of[n] {
			target[id] = 1
		}
		if rankOf(append(slices.Clone(matrix), target)) == rank {
			t.Errorf("%q = %g follows from what is published: %v", path, n.value, show(cells))
		}
	})
}

func rankOf(matrix [][]float64) int {
	rows := make([][]float64, len(matrix))
	for i := range matrix {
		rows[i] = slices.Clone(matrix[i])
	}
	rank := 0
	for column := 0; len(rows) > 0 && column < len(rows[0]); column++ {
		pivot := slices.IndexFunc(rows[rank:], func(row []float64) bool { return math.Abs(row[column]) > 1e-9 })
		if pivot < 0 {
			continue
		}
		rows[rank], rows[rank+pivot] = rows[rank+pivot], rows[rank]
		for i := rank + 1; i < len(rows); i++ {
			factor := rows[i][column] / rows[rank][column]
			for j := range rows[i] {
				rows[i][j] -= factor * rows[rank][j]
			}
		}
		if rank++; rank == len(rows) {
			break
		}
	}
	return rank
}
