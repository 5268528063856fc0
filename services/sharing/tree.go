package sharing

import (
	"cmp"
	"slices"
)

// The codes that a codelist has for the whole and for what is not told apart.
const (
	Total = "_T"
	Other = "_O"
)

// node is a cell of a tree-shaped table: the whole at the root, and below each cell its parts. A tree has the
// dimensions that are told apart, one a level; a cell on level k fixes the first k of them.
type node struct {
	code     string // in the dimension of its level; "" at the root
	value    float64
	status   string // OBS_STATUS
	secret   bool   // refused by policy's condition, or confidential
	own      bool   // stored under this very code, and not merged with others
	stored   float64
	of       *node // all of it comes from this one secret cell, whose parts were merged with others'; nil: from several
	children []*node
}

// origin returns the cell that all of n comes from.
func (n *node) origin() *node {
	if n.of != nil {
		return n.of
	}
	return n
}

// cell is a node that may go out, by its codes in the tree's dimensions down to its level.
type cell struct {
	path   []string
	value  float64
	status string
	own    bool
	stored float64
}

// protection says what may be seen of a tree.
type protection struct {
	minimum float64 // a cell above zero that counts fewer is not seen
	// other says for each level, the root's left out, whether its codelist can say "other".
	other []bool
	// refuses reports whether policy's condition refuses a cell with these codes.
	refuses func(path []string, n *node) bool
}

// protect returns the cells of a tree that may go out: those from which no cell below the minimum, and no secret one,
// follows by subtraction.
//
// Parts that must not be seen are merged into the code for other, with the next smallest where it needs them: what is
// merged has at least two members above zero and counts at least the minimum. Once anything is merged, a part that is
// called other already is a member. Where a cell counts more than its parts together, the rest is a part called other.
// Parts of what is merged are merged by their codes, and protected in the same way. Where all this is impossible, and
// where the parts exceed the whole, the whole goes alone. A tree whose root must not be seen is not seen at all.
//
// This is safe for a tree alone, whose only equations say that a cell is the sum of its parts.
func (p protection) protect(root *node) []cell {
	if root.value < 0 || p.primary(root) || root.secret {
		return nil
	}
	return p.publish(nil, nil, root)
}

// primary reports whether a cell must not be seen under its own code.
func (p protection) primary(n *node) bool {
	return n.value > 0 && (n.value < p.minimum || n.secret)
}

// publish appends the cell of n, which may be seen, and what may be seen of its parts.
func (p protection) publish(cells []cell, path []string, n *node) []cell {
	cells = append(cells, cell{path: path, value: n.value, status: n.status, own: n.own, stored: n.stored})
	for _, part := range p.parts(path, n) {
		cells = p.publish(cells, below(path, part.code), part)
	}
	return cells
}

// parts returns the parts of n that may be seen, which sum up to it; none where it must stand alone.
func (p protection) parts(path []string, n *node) []*node {
	if len(n.children) == 0 {
		return nil
	}
	parts, ok := p.complete(path, n)
	if !ok {
		return nil
	}
	var open, merged []*node
	for _, part := range parts {
		switch {
		case part.value == 0 && part.secret:
			// A zero that is not told looks like one that was never stored.
		case p.primary(part):
			merged = append(merged, part)
		default:
			open = append(open, part)
		}
	}
	if len(merged) == 0 {
		return open
	}
	if !p.other[len(path)] {
		return nil
	}
	merged, open = p.widen(merged, open)
	if merged == nil {
		return nil
	}
	return append(open, p.merge(path, Other, merged))
}

// complete returns the parts of n, with what is missing to the whole under the code for other. It is false where the
// parts are not parts: one is negative, or they exceed the whole.
func (p protection) complete(path []string, n *node) ([]*node, bool) {
	rest, ok := n.rest()
	if !ok {
		return nil, false
	}
	if rest == 0 {
		return n.children, true
	}
	if !p.other[len(path)] {
		return nil, false
	}
	parts := slices.Clone(n.children)
	i := slices.IndexFunc(parts, func(part *node) bool { return part.code == Other })
	if i < 0 {
		return append(parts, &node{code: Other, value: rest}), true
	}
	grown := *parts[i]
	if _, ok := grown.rest(); !ok {
		grown.children = nil
	}
	grown.value += rest
	parts[i] = &grown
	return parts, true
}

// widen moves open parts to the merged ones until those may be seen as one. It returns nil where they never may.
func (p protection) widen(merged, open []*node) (wider, rest []*node) {
	slices.SortFunc(open, func(a, b *node) int {
		// First what is called other already, then by size.
		return cmp.Or(-compareBool(a.code == Other, b.code == Other), cmp.Compare(a.value, b.value), cmp.Compare(a.code, b.code))
	})
	sum, origins := 0.0, map[*node]bool{}
	for _, part := range merged {
		sum += part.value
		origins[part.origin()] = true
	}
	enough := func() bool { return len(origins) >= 2 && sum >= p.minimum }
	for _, part := range open {
		if part.code != Other && (part.value == 0 || enough()) {
			rest = append(rest, part)
			continue
		}
		merged = append(merged, part)
		if sum += part.value; part.value > 0 {
			origins[part.origin()] = true
		}
	}
	if !enough() {
		return nil, nil
	}
	return merged, rest
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// merge returns the sum of cells under one code, with their parts merged by code.
func (p protection) merge(path []string, code string, members []*node) *node {
	path = below(path, code)
	sum := &node{code: code}
	byCode := map[string][]*node{}
	var codes []string
	for i, member := range members {
		sum.value += member.value
		if i == 0 {
			sum.status = member.status
		} else if sum.status != member.status {
			sum.status = ""
		}
		for _, part := range constituents(member) {
			if byCode[part.code] == nil {
				codes = append(codes, part.code)
			}
			byCode[part.code] = append(byCode[part.code], part)
		}
	}
	if !slices.ContainsFunc(members, func(member *node) bool { return len(member.children) > 0 }) {
		return sum
	}
	for _, c := range codes {
		part := p.merge(path, c, byCode[c])
		part.secret = p.refuses(below(path, c), part)
		origins, secret := map[*node]bool{}, false
		for _, constituent := range byCode[c] {
			if constituent.value > 0 {
				origins[constituent.origin()] = true
				part.of, secret = constituent.of, constituent.secret
			}
		}
		if len(origins) == 1 {
			// A sum that is one secret cell alone is as secret, and so is a part that only a secret cell has.
			part.secret = part.secret || secret || part.of != nil
		} else {
			part.of = nil
		}
		sum.children = append(sum.children, part)
	}
	return sum
}

// constituents returns what a member brings to the parts of a sum: its own parts, and under the code for other what
// they leave of it; all of it there, if they are not parts. Each knows the secret member that it comes from.
func constituents(member *node) []*node {
	origin := member.of
	if member.secret {
		origin = member
	}
	var parts []*node
	rest, ok := member.rest()
	if ok {
		for _, part := range member.children {
			constituent := *part
			constituent.of = origin
			parts = append(parts, &constituent)
		}
	} else {
		rest = member.value
	}
	if rest > 0 {
		parts = append(parts, &node{code: Other, value: rest, of: origin})
	}
	return parts
}

// rest returns what the parts of n leave of it. It is false where they are not parts: one is negative, or they exceed
// the whole.
func (n *node) rest() (rest float64, ok bool) {
	rest = n.value
	for _, part := range n.children {
		if rest -= part.value; part.value < 0 {
			return 0, false
		}
	}
	return rest, rest >= 0
}

// below returns the path with one more code.
func below(path []string, code string) []string {
	return append(slices.Clone(path), code)
}

// walk calls visit for n and everything below it.
func (n *node) walk(path []string, visit func(path []string, n *node)) {
	visit(path, n)
	for _, part := range n.children {
		part.walk(below(path, part.code), visit)
	}
}
