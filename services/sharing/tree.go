package sharing

import (
	"maps"
	"slices"
	"strings"
)

// tree has some codes of a dimension, and those above them, as they contain each other.
type tree struct {
	codes []string
	parts map[string][]string        // of a code
	above map[string]map[string]bool // the codes that contain a code, itself left out
}

// newTree returns the tree of the codes. One that wholly contains siblings stands above them.
func newTree(a axis, used map[string]bool) tree {
	known := map[string]bool{}
	for code := range used {
		for ; code != "" && !known[code]; code = a.dimension.Codes[code].Parent {
			known[code] = a.has(code)
		}
	}
	t := tree{parts: map[string][]string{}, above: map[string]map[string]bool{}}
	for code, goes := range known {
		if goes {
			t.codes = append(t.codes, code)
		}
	}
	slices.Sort(t.codes)
	coverers := map[string][]string{} // of a code, those that wholly contain it
	for _, code := range t.codes {
		for _, part := range a.dimension.Codes[code].Covers {
			if !slices.Contains(coverers[part], code) {
				coverers[part] = append(coverers[part], code)
			}
		}
	}
	parents := map[string][]string{}
	for _, code := range t.codes {
		parents[code] = a.parents(code, coverers[code], func(other string) bool { return known[other] })
		for _, parent := range parents[code] {
			t.parts[parent] = append(t.parts[parent], code)
		}
	}
	var climb func(above map[string]bool, code string)
	climb = func(above map[string]bool, code string) {
		for _, parent := range parents[code] {
			if !above[parent] {
				above[parent] = true
				climb(above, parent)
			}
		}
	}
	for _, code := range t.codes {
		t.above[code] = map[string]bool{}
		climb(t.above[code], code)
	}
	return t
}

// parents returns the codes of the tree that a code is directly a part of.
func (t *tree) parents(a axis, code string) []string {
	var coverers []string
	for _, other := range t.codes {
		if slices.Contains(a.dimension.Codes[other].Covers, code) {
			coverers = append(coverers, other)
		}
	}
	return a.parents(code, coverers, func(other string) bool { return slices.Contains(t.codes, other) })
}

// parents returns the codes of a tree that a code is directly a part of: of the coverers, which wholly contain it, the smallest,
// or else what it hangs under. What hangs under nothing is a part of the total.
func (a axis) parents(code string, coverers []string, has func(code string) bool) []string {
	if code == Total {
		return nil
	}
	covers := func(whole, part string) bool { return slices.Contains(a.dimension.Codes[whole].Covers, part) }
	smallest := slices.DeleteFunc(slices.Clone(coverers), func(c string) bool {
		return slices.ContainsFunc(coverers, func(other string) bool { return covers(c, other) })
	})
	if len(smallest) > 0 {
		return smallest
	}
	parent := a.dimension.Codes[code].Parent
	for parent != "" && !has(parent) {
		parent = a.dimension.Codes[parent].Parent
	}
	if parent == "" && has(Total) {
		parent = Total
	}
	if parent == "" {
		return nil
	}
	return []string{parent}
}

// inside reports whether a code is a part of another one, or of a part of it.
func (t *tree) inside(code, whole string) bool {
	if of, ok := strings.CutPrefix(code, rest("")); ok {
		return of == whole || t.above[of][whole]
	}
	return t.above[code][whole]
}

// grow adds a code under another one, unless it is there.
func (t *tree) grow(code, parent string) {
	if slices.Contains(t.codes, code) {
		return
	}
	t.codes = append(t.codes, code)
	t.parts[parent] = append(t.parts[parent], code)
	t.above[code] = map[string]bool{parent: true}
	for above := range t.above[parent] {
		t.above[code][above] = true
	}
}

// kin returns the codes that have a whole in common with a code, wholes and it included.
func (t tree) kin(code string) []string {
	kin := []string{code}
	for _, other := range t.codes {
		common := t.above[code][other] || t.above[other][code]
		for whole := range t.above[code] {
			common = common || t.above[other][whole]
		}
		if common && other != code {
			kin = append(kin, other)
		}
	}
	return kin
}

// top returns what a code is a part of, and is a part of nothing itself: the code, where there is no such.
func (t tree) top(code string) string {
	top := code
	for whole := range t.above[code] {
		if len(t.above[whole]) == 0 && (top == code || whole < top) {
			top = whole
		}
	}
	return top
}

// between returns a code, and what it takes to add up those that are wanted, itself among them: each that one of them is or
// contains and that contains another one, with all its parts. Where none of them contains the code or is a part of it,
// there is nothing to add up.
func (t tree) between(code string, wanted map[string]bool) []string {
	found := map[string]bool{code: true}
	alone := true
	for other := range wanted {
		alone = alone && !t.above[code][other] && !t.above[other][code]
	}
	if alone {
		return []string{code}
	}
	for _, whole := range t.codes {
		topped, bottomed := wanted[whole], false
		for other := range wanted {
			topped = topped || t.above[whole][other]
			bottomed = bottomed || t.above[other][whole]
		}
		if topped && bottomed {
			found[whole] = true
			for _, part := range t.parts[whole] {
				found[part] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
