package statistics

import (
	"strings"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// FuzzQuery asks for made-up components, codes, periods and orders: whatever they are, the answer is a block or a fault.
func FuzzQuery(f *testing.F) {
	f.Add("OBS_VALUE desc", "2023-01", "2024", "PLACE", "N", uint8(filter.OpGe), 3)
	f.Add("", "", "", block.ObsValue, "", uint8(filter.OpNot), 0)
	f.Add("TIME_PERIOD  asc", "2024-W53", "9999", "FREQ", "A", uint8(filter.OpIn), -1)
	f.Add("D\x00", "2024-Q9", "\xff", "_PROVIDER", "'; DROP TABLE cur; --", uint8(255), 1<<30)
	m := memoryOf(make([]*Hierarchy, 2), block.Comment)
	cell := Cell{Value: 1, ObsStatus: NormalValue, ConfStatus: Confidential}
	m.put(f, "own", "2023-11", cell, nil, "M", "N", "x")
	s := m.service()
	f.Fuzz(func(t *testing.T, order, start, end, component, value string, op uint8, n int) {
		condition := filter.Filter{Op: filter.Op(op), Component: component, Values: []string{value}}
		if condition.Op <= filter.OpNot {
			condition = filter.Filter{Op: condition.Op, Operands: []filter.Filter{filter.Eq(component, value)}}
		}
		q := Query{
			Dataflow: m.flow.Ref, Start: start, End: end, OrderBy: []string{order}, Filter: condition, First: n, Last: n, Offset: n, Limit: n,
			Selections: []Selection{{Dimension: component, Codes: []string{value}}}, Sight: Sight{ConfStatus: value},
		}
		err := s.Query(t.Context(), q, func(p *Page) error {
			for i := range p.Block.Rows {
				if v := p.Block.Column(block.ObsValue).Numbers[i]; v == 1 && !strings.Contains(value, "C") {
					t.Error("what is confidential is shown")
				}
			}
			return p.Block.Check()
		})
		if order, ok := ParseOrder(order); ok && order.Component == "" {
			t.Error("it is an order of nothing")
		}
		_ = err
	})
}

// FuzzEmbargo tries texts as times of embargo: what is none never ends.
func FuzzEmbargo(f *testing.F) {
	for _, text := range []string{"2024-01-01", "2024-01-01T09:00:00Z", "2024-01-01T09:00", "soon", "", "2024-13-01", "0000-00-00T00:00:00Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if end, ever := embargoEnds(text); ever && end.Year() > 9999 {
			t.Errorf("%q ends in %v", text, end)
		}
	})
}
