package statistics

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// Hierarchy is a codelist made ready for looking up what is a part of what. Codes are numbered as in the codelist.
type Hierarchy struct {
	list      *Codelist
	positions map[string]int
	parents   []int // -1 for a root
	children  [][]int
	coverers  [][]int // the siblings that contain a code wholly
	levels    []int   // the position of the code's level; where it names none, its depth
}

// NewHierarchy checks that each code stands once and after its parent, on a level that the codelist has, and covers
// siblings only. The codelist must not change afterwards.
func NewHierarchy(c *Codelist) (*Hierarchy, error) {
	h := &Hierarchy{
		list: c, positions: make(map[string]int, len(c.Codes)),
		parents: make([]int, len(c.Codes)), children: make([][]int, len(c.Codes)),
		coverers: make([][]int, len(c.Codes)), levels: make([]int, len(c.Codes)),
	}
	levels := make(map[string]int, len(c.Levels))
	for i, level := range c.Levels {
		levels[level] = i
	}
	for i, code := range c.Codes {
		if _, twice := h.positions[code.ID]; twice || code.ID == "" {
			return nil, fmt.Errorf("codelist %s: code %q stands twice or is empty", c.Ref, code.ID)
		}
		h.positions[code.ID] = i
		h.parents[i] = -1
		if code.Parent != "" {
			parent, ok := h.positions[code.Parent]
			if !ok || parent == i {
				if around := codeCircle(c.Codes); around != nil {
					return nil, fmt.Errorf("codelist %s: codes are parts of each other in a circle: %s", c.Ref, shownCircle(around))
				}
				return nil, fmt.Errorf("codelist %s: the parent %q of code %q does not stand before it", c.Ref, code.Parent, code.ID)
			}
			h.parents[i] = parent
			h.children[parent] = append(h.children[parent], i)
			h.levels[i] = h.levels[parent] + 1
		}
		if code.Level != "" {
			level, ok := levels[code.Level]
			if h.levels[i] = level; !ok {
				return nil, fmt.Errorf("codelist %s: code %q is on the level %q, which the codelist does not have", c.Ref, code.ID, code.Level)
			}
		}
	}
	for i, code := range c.Codes {
		for _, covered := range code.Covers {
			j, ok := h.positions[covered]
			if !ok || j == i || h.parents[j] != h.parents[i] {
				return nil, fmt.Errorf("codelist %s: code %q covers %q, which is not its sibling", c.Ref, code.ID, covered)
			}
			h.coverers[j] = append(h.coverers[j], i)
		}
	}
	return h, nil
}

// Codelist returns what the hierarchy is of.
func (h *Hierarchy) Codelist() *Codelist { return h.list }

// Has reports whether the code is in the codelist.
func (h *Hierarchy) Has(code string) bool {
	_, ok := h.positions[code]
	return ok
}

// Compare orders two codes as the codelist does; one that it does not have comes first.
func (h *Hierarchy) Compare(a, b string) int {
	i, okA := h.positions[a]
	j, okB := h.positions[b]
	switch {
	case okA && okB:
		return cmp.Compare(i, j)
	case okA:
		return 1
	case okB:
		return -1
	}
	return 0
}

// Chain gives the code and its ancestors, from itself to the root; nothing where the codelist does not have it.
func (h *Hierarchy) Chain(code string) iter.Seq[string] {
	return func(yield func(string) bool) {
		i, ok := h.positions[code]
		for ok && i >= 0 && yield(h.list.Codes[i].ID) {
			i = h.parents[i]
		}
	}
}

// Within returns the code and all its descendants, parents before children.
func (h *Hierarchy) Within(code string) []string {
	i, ok := h.positions[code]
	if !ok {
		return []string{code}
	}
	var codes []string
	var walk func(int)
	walk = func(i int) {
		codes = append(codes, h.list.Codes[i].ID)
		for _, child := range h.children[i] {
			walk(child)
		}
	}
	walk(i)
	return codes
}

// IsLeaf reports whether the code has no parts.
func (h *Hierarchy) IsLeaf(code string) bool {
	i, ok := h.positions[code]
	return !ok || len(h.children[i]) == 0
}

// AtLevel returns the codes that cut the hierarchy at a level, in the order of the codelist. Every code on the level or
// below it is part of exactly one of them. Where a branch has no code on the level it is cut at its first code below.
func (h *Hierarchy) AtLevel(level string) ([]string, error) {
	want := slices.Index(h.list.Levels, level)
	if want < 0 {
		return nil, fmt.Errorf("codelist %s has no level %q, only %s", h.list.Ref, level, quotedList(h.list.Levels))
	}
	var codes []string
	for i, code := range h.list.Codes {
		if h.levels[i] >= want && (h.parents[i] < 0 || h.levels[h.parents[i]] < want) {
			codes = append(codes, code.ID)
		}
	}
	return codes, nil
}

// AncestorAt returns the one of the codes that cut the hierarchy at a level, as [Hierarchy.AtLevel] gives them, that the
// code is or is a part of; false where the code stands above the level.
func (h *Hierarchy) AncestorAt(code, level string) (string, bool) {
	want := slices.Index(h.list.Levels, level)
	found := ""
	for ancestor := range h.Chain(code) {
		if h.levels[h.positions[ancestor]] < want {
			break
		}
		found = ancestor
	}
	return found, found != "" && want >= 0
}

// Covers reports whether the first code is a sibling of the second that contains it wholly.
func (h *Hierarchy) Covers(a, b string) bool {
	i, okA := h.positions[a]
	j, okB := h.positions[b]
	return okA && okB && slices.Contains(h.coverers[j], i)
}

// containers returns the codes that contain a code: those that it is a part of, and those that cover it or one of these.
func (h *Hierarchy) containers(code string) []string {
	node, ok := h.positions[code]
	if !ok {
		return nil
	}
	seen := map[int]bool{node: true}
	var codes []string
	for waiting := []int{node}; len(waiting) > 0; {
		next := waiting[0]
		waiting = waiting[1:]
		above := slices.Clone(h.coverers[next])
		if h.parents[next] >= 0 {
			above = append(above, h.parents[next])
		}
		for _, container := range above {
			if !seen[container] {
				seen[container] = true
				codes = append(codes, h.list.Codes[container].ID)
				waiting = append(waiting, container)
			}
		}
	}
	return codes
}
