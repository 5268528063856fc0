package statistics

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// MaxSorted is how many rows are sorted at most.
const MaxSorted = 1_000_000

// maxOrder is how many components rows are sorted by at most.
const maxOrder = 32

// Order is a component that rows are sorted by.
type Order struct {
	Component  string
	Descending bool
}

// ParseOrder reads a component with nothing, " asc" or " desc" after it.
func ParseOrder(text string) (Order, bool) {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 1:
		return Order{Component: fields[0]}, true
	case len(fields) == 2 && (strings.EqualFold(fields[1], "desc") || strings.EqualFold(fields[1], "asc")):
		return Order{Component: fields[0], Descending: strings.EqualFold(fields[1], "desc")}, true
	}
	return Order{}, false
}

// row is a row of an answer that is kept for sorting.
type row struct {
	key      []uint32
	provider string
	period   Period
	cell     Cell
	further  []string // attributes; nil: none
	action   byte     // 0: none
}

// sorter keeps rows and gives them in an order.
type sorter struct {
	orders     []Order
	flow       *Flow
	dictionary *Dictionary
	rows       []row
	ranks      [][]int // by dimension that is sorted by: the rank of each code
}

func newSorter(orders []Order, flow *Flow, dictionary *Dictionary) *sorter {
	return &sorter{orders: orders, flow: flow, dictionary: dictionary, ranks: make([][]int, len(flow.Structure.Dimensions))}
}

func (s *sorter) add(r row) error {
	if len(s.rows) == MaxSorted {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "at most %d rows are sorted: ask for fewer, or for no order", MaxSorted)
	}
	s.rows = append(s.rows, r)
	return nil
}

// sorted sorts the rows and returns them. Those that are equal stay as they came.
func (s *sorter) sorted() []row {
	compare := make([]func(a, b *row) int, len(s.orders))
	for i, order := range s.orders {
		compare[i] = s.comparison(order.Component)
		if order.Descending {
			ascending := compare[i]
			compare[i] = func(a, b *row) int { return -ascending(a, b) }
		}
		if order.Component == block.ObsValue {
			byValue := compare[i]
			compare[i] = func(a, b *row) int { return cmp.Or(valuesFirst(a, b), byValue(a, b)) }
		}
	}
	slices.SortStableFunc(s.rows, func(a, b row) int {
		for _, c := range compare {
			if n := c(&a, &b); n != 0 {
				return n
			}
		}
		return 0
	})
	return s.rows
}

// valuesFirst puts rows without a value after all others, in either direction.
func valuesFirst(a, b *row) int {
	x, y := math.IsNaN(a.cell.Value), math.IsNaN(b.cell.Value)
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}

func (s *sorter) comparison(component string) func(a, b *row) int {
	switch component {
	case block.ObsValue:
		return func(a, b *row) int { return cmp.Compare(a.cell.Value, b.cell.Value) }
	case block.TimePeriod:
		return func(a, b *row) int {
			if a.period.Frequency == b.period.Frequency {
				return cmp.Compare(a.period.Index, b.period.Index)
			}
			return cmp.Or(a.period.Start().Compare(b.period.Start()), a.period.End().Compare(b.period.End()))
		}
	case block.ObsStatus:
		return func(a, b *row) int { return cmp.Compare(a.cell.ObsStatus, b.cell.ObsStatus) }
	case block.ConfStatus:
		return func(a, b *row) int { return cmp.Compare(a.cell.ConfStatus, b.cell.ConfStatus) }
	case block.Provider:
		return func(a, b *row) int { return strings.Compare(a.provider, b.provider) }
	}
	dimension := s.flow.Structure.Dimension(component)
	if dimension < 0 {
		at := s.flow.Structure.furtherAt(component)
		return func(a, b *row) int { return strings.Compare(furtherText(a.further, at), furtherText(b.further, at)) }
	}
	s.rank(dimension)
	return func(a, b *row) int {
		return cmp.Compare(s.ranks[dimension][a.key[dimension]], s.ranks[dimension][b.key[dimension]])
	}
}

// rank numbers the codes of a dimension in the order of their codelist, else in that of their texts.
func (s *sorter) rank(dimension int) {
	if s.ranks[dimension] != nil {
		return
	}
	codes := make([]int, s.dictionary.Len(dimension))
	for i := range codes {
		codes[i] = i
	}
	tree := s.flow.Dimensions[dimension]
	slices.SortFunc(codes, func(a, b int) int {
		x, y := s.dictionary.texts[dimension][a], s.dictionary.texts[dimension][b]
		if tree != nil {
			if order := tree.Compare(x, y); order != 0 {
				return order
			}
		}
		return strings.Compare(x, y)
	})
	s.ranks[dimension] = make([]int, len(codes))
	for rank, code := range codes {
		s.ranks[dimension][code] = rank
	}
}
