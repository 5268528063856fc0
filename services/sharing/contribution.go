package sharing

import (
	"context"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/disclosure"
)

// contributions are what each contributor adds to the cells, by period and key as [cellName] has them. A cell that is not
// there has none that are known.
type contributions map[string][]float64

// contribute finds out who contributes to the cells of the sheets, where an obligation asks for it.
func (m *maker) contribute(ctx context.Context, sheets []*sheet) error {
	m.contributed = map[string]contributions{}
	for _, rule := range m.ruling.Obligations.aboutContributors() {
		if m.contributed[rule.by] != nil {
			continue
		}
		found, err := m.contributionsBy(ctx, rule.by, sheets)
		if err != nil {
			return err
		}
		m.contributed[rule.by] = found
	}
	return nil
}

// contributorRule is a rule about the contributors of a cell, who are told apart by a dimension.
type contributorRule struct {
	name  disclosure.Rule
	by    string
	rules disclosure.Rules // it alone
}

// aboutContributors returns the rules about contributors.
func (o Obligations) aboutContributors() []contributorRule {
	var list []contributorRule
	all := o.rules()
	if o.Dominance != nil {
		list = append(list, contributorRule{disclosure.ByDominance, o.Dominance.By, disclosure.Rules{Dominance: all.Dominance}})
	}
	if o.PPercent != nil {
		list = append(list, contributorRule{disclosure.ByPPercent, o.PPercent.By, disclosure.Rules{PPercent: all.PPercent}})
	}
	return list
}

// contributionsBy asks for the figures of the sheets, which are of one area, indicator and frequency, as they are stored by
// a dimension, and tells the finest codes of each cell apart. What those leave of a cell, or have too much, nobody can
// tell the contributors of: such a cell has none that are known, and so have all where the structure has no such dimension.
func (m *maker) contributionsBy(ctx context.Context, by string, sheets []*sheet) (contributions, error) {
	place := m.structures.place(by)
	if place < 0 || slices.Contains([]string{freq, refArea, indicator}, by) || len(sheets) == 0 {
		return contributions{}, nil
	}
	query := m.cells(sheets[0].area, sheets[0].indicator, sheets[0].frequency)
	query.Selections = slices.DeleteFunc(query.Selections, func(s Selection) bool { return s.Dimension == by })
	told := slices.IndexFunc(m.told, func(a axis) bool { return a.place == place })
	type share struct {
		code  string
		value float64
	}
	shares := map[string][]share{} // of the cells, without their code of the dimension
	err := m.query(ctx, query, func(b *block.Block) error {
		return m.read(b, func(codes []string, period string, f figure) {
			at := cellName(period, without(m.key(codes), told))
			shares[at] = append(shares[at], share{codes[place], f.value})
		})
	})
	if err != nil {
		return nil, err
	}
	dimension := m.structures.Dimensions[place]
	found := contributions{}
	for _, s := range sheets {
		for _, f := range s.figures {
			whole := Total
			if told >= 0 {
				whole = f.key[told]
			}
			inside := slices.DeleteFunc(slices.Clone(shares[cellName(s.period, without(f.key, told))]), func(s share) bool {
				return s.code == Total || !dimension.within(s.code, whole)
			})
			var list []float64
			sum := 0.0
			for _, one := range inside {
				if !slices.ContainsFunc(inside, func(o share) bool { return o.code != one.code && dimension.within(o.code, one.code) }) {
					list = append(list, one.value)
					sum += one.value
				}
			}
			if len(list) > 0 && math.Abs(sum-f.value) <= 1e-9*max(1, f.value) {
				found[cellName(s.period, f.key)] = list
			}
		}
	}
	return found, nil
}

// without returns a key without one of its codes; -1: with all of them.
func without(key []string, d int) []string {
	if d < 0 {
		return key
	}
	return slices.Delete(slices.Clone(key), d, d+1)
}

// dominate makes the cells primary that one of the rules about contributors withholds. A cell whose contributors are not
// known is one: it may be a single one's. What a single one has, that one can take away from others.
func (m *maker) dominate(g *grid, s *sheet) {
	for _, rule := range m.ruling.Obligations.aboutContributors() {
		known := m.contributed[rule.by]
		for i := range g.cells {
			c := &g.table.Cells[i]
			if c.Value == 0 || c.Absent {
				continue
			}
			var list []float64
			if at := g.cells[i].figure; at >= 0 {
				list = known[cellName(s.period, s.figures[at].key)]
			}
			if len(list) == 1 {
				c.Contributions = []float64{float64(c.Value)}
			}
			broken := len(list) == 0 || rule.rules.Broken(disclosure.Cell{Value: c.Value, Contributions: list}) != ""
			if broken && c.Status != disclosure.Primary {
				c.Status, c.Rule = disclosure.Primary, rule.name
			}
		}
	}
}
