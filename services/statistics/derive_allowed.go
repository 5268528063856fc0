package statistics

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// ruleNotAllowed is the rule of the finding about a figure that a content constraint does not allow.
const ruleNotAllowed = "NOT_ALLOWED"

// checkAllowed reports the derived figures that would be stored anew, or otherwise than now, and that a constraint of the
// target does not allow, as it would where they were submitted there. Those that stay as they are were allowed when they came.
func (h *harvest) checkAllowed(provider string, report *Report) {
	restrictions := h.flow.restrictions(provider)
	if len(restrictions) == 0 {
		return
	}
	told, more := 0, 0
	cells := &cellTexts{table: h.cells}
	for s, i := range h.changes.each(func(f fate) bool { return f == isAdded || f == isRevised }) {
		cells.series, cells.at = s, i
		broken, components := cells.broken(restrictions)
		if broken == nil {
			continue
		}
		if told++; told > maxToldCells {
			more++
			continue
		}
		report.Add(h.notAllowed(cells, broken, components))
	}
	if more > 0 {
		report.Add(Finding{Rule: ruleNotAllowed, Severity: Blocking, Message: fmt.Sprintf("the same of %d further figures", more)})
	}
}

// notAllowed is the finding about one figure of the target.
func (h *harvest) notAllowed(c *cellTexts, broken *restriction, components []string) Finding {
	key, period := h.cells.Key(c.series), h.cells.tracks[c.series].Periods[c.at]
	by := h.made[0].by
	for _, m := range h.made {
		if m.cells.hasCell(h.cells, key, period) {
			by = m.by
		}
	}
	values, told := h.changes.key(c.series, c.at), make([]string, len(components))
	for i, id := range components {
		told[i] = fmt.Sprintf("%s %q", id, shown(c.text(id)))
	}
	f := Finding{
		Rule: ruleNotAllowed, Severity: Blocking, Period: values[len(values)-1],
		Values: append(values, by.structureMap.Ref.String(), broken.ref.String()),
		Message: fmt.Sprintf("the figure %s of %s would be derived from %s by %s, but the constraint %s does not allow %s",
			keyText(values), h.flow.Ref, by.source.Ref, by.structureMap.Ref, broken.ref, strings.Join(told, " with ")),
	}
	if len(components) == 1 {
		f.Column = components[0]
	}
	return f
}

// cellTexts gives the components of one cell of a table as texts.
type cellTexts struct {
	table      *Table
	series, at int
}

func (c *cellTexts) period() Period {
	return c.table.Frequency(c.series).Period(c.table.tracks[c.series].Periods[c.at])
}

// text returns the value of a component, "" where it is absent.
func (c *cellTexts) text(component string) string {
	cell := &c.table.tracks[c.series].Cells[c.at]
	switch component {
	case block.TimePeriod:
		return c.period().String()
	case block.ObsStatus:
		return string(rune(cell.ObsStatus))
	case block.ConfStatus:
		return string(rune(cell.ConfStatus))
	}
	if d := c.table.structure.Dimension(component); d >= 0 {
		return c.table.dictionary.Text(d, c.table.Key(c.series)[d])
	}
	if i := slices.Index(c.table.further, component); i >= 0 {
		return c.table.Attributes(cell.Attributes)[i]
	}
	return ""
}

// within reports whether the cell fulfils a bound; absent: what counts where it does not have the component.
func (c *cellTexts) within(b bound, absent bool) bool {
	if b.time {
		return b.holdsPeriod(c.period())
	}
	value := c.text(b.component)
	if value == "" {
		return absent
	}
	return b.holds(value)
}

// broken returns the first constraint that the cell does not fit, and the components that say so, as [guard.broken] does of
// rows; nil where it fits all.
func (c *cellTexts) broken(restrictions []*restriction) (*restriction, []string) {
	for _, r := range restrictions {
		for _, region := range r.exclude {
			if len(region) > 0 && !slices.ContainsFunc(region, func(b bound) bool { return !c.within(b, false) }) {
				return r, region.components()
			}
		}
		outside := func(b bound) bool { return !c.within(b, true) }
		fits := func(region bounds) bool { return len(region) > 0 && !slices.ContainsFunc(region, outside) }
		if len(r.include) == 0 || slices.ContainsFunc(r.include, fits) {
			continue
		}
		var components []string
		for _, region := range r.include {
			for _, b := range region {
				if outside(b) && !slices.Contains(components, b.component) {
					components = append(components, b.component)
				}
			}
		}
		return r, components
	}
	return nil, nil
}
