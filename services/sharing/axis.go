package sharing

import (
	"cmp"
	"slices"
	"strings"
)

// axis is a dimension that is told apart: its total, the agreed level, and all levels between.
type axis struct {
	place     int // among the structure's dimensions
	dimension Dimension
	ranks     map[string]int // by code
	agreed    int            // the finest level that may go, by its place among the levels
	finest    int            // the finest one that goes; at most agreed; -1: the total alone
}

// has reports whether a code of the dimension goes: it is no finer than the finest level, or it is no finer than agreed,
// and what it is a part of has no parts on that level.
func (a axis) has(code string) bool {
	rank := a.rank(code)
	if rank <= a.finest || rank > a.agreed {
		return rank <= a.finest
	}
	return a.rank(a.dimension.Codes[code].Parent) < a.finest
}

// rank returns the place of a code's level among the levels; -1 for the total, and a place after all for a code that has
// none.
func (a axis) rank(code string) int {
	if rank, ok := a.ranks[code]; ok {
		return rank
	}
	return len(a.dimension.Levels)
}

// newAxis returns the axis of a dimension that goes as fine as agreed.
func newAxis(place int, dimension Dimension, agreed int) axis {
	a := axis{place: place, dimension: dimension, ranks: map[string]int{"": -1, Total: -1}, agreed: agreed, finest: agreed}
	for code, known := range dimension.Codes {
		if level := slices.Index(dimension.Levels, known.Level); level >= 0 && code != Total {
			a.ranks[code] = level
		}
	}
	return a
}

// codes returns the codes that go, in their order.
func (a axis) codes() []string {
	var codes []string
	for code := range a.dimension.Codes {
		if a.has(code) {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

// lift returns the finest code that goes of those that a code is, or is a part of.
func (a axis) lift(code string) string {
	for code != "" && !a.has(code) {
		code = a.dimension.Codes[code].Parent
	}
	return cmp.Or(code, Total)
}

// goes reports whether a cell is no finer than the axes.
func goes(axes []axis, key []string) bool {
	for d, a := range axes {
		if !a.has(key[d]) {
			return false
		}
	}
	return true
}

// level returns the level of a code; of what the parts of a code leave, that of the code.
func (a axis) level(code string) string {
	code = strings.TrimPrefix(code, rest(""))
	if code == Total {
		return Total
	}
	return a.dimension.Codes[code].Level
}

// detail says how fine an axis goes.
func (a axis) detail() string {
	if a.finest <= 0 {
		return Total
	}
	return a.dimension.Levels[a.finest]
}

// coarser leaves the finest level of the last dimension out that has any besides the total; it is false where none has.
func coarser(axes []axis) ([]axis, bool) {
	for d := len(axes) - 1; d >= 0; d-- {
		if axes[d].detail() == Total {
			continue
		}
		axes = slices.Clone(axes)
		for axes[d].finest--; axes[d].finest >= 0 && axes[d].dimension.Levels[axes[d].finest] == axes[d].dimension.Codes[Total].Level; {
			axes[d].finest = -1
		}
		return axes, true
	}
	return axes, false
}
