package sharing

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// maxDecimals is how many decimal places figures may have.
const maxDecimals = 6

// errValues says why figures cannot be protected.
func errValues(format string, args ...any) error {
	return fault.New(fault.Precondition, "CANNOT_PROTECT", format, args...)
}

// unit is what figures of an indicator are counted in, since disclosure control counts in whole numbers: the same one in
// all areas, periods and details, for all indicators that it is a part of or that have a whole in common with it, and for
// good, so that what was told at different times can be compared.
type unit struct {
	decimals int
	problem  error // why there is none; nil: there is
}

// String returns a unit such as "0.01".
func (u unit) String() string { return strconv.FormatFloat(1/float64(u.scale()), 'f', -1, 64) }

// scale returns how many units make one.
func (u unit) scale() int64 {
	scale := int64(1)
	for range u.decimals {
		scale *= 10
	}
	return scale
}

// count returns a figure in units.
func (u unit) count(value float64) int64 { return int64(math.Round(value * float64(u.scale()))) }

// measure finds out how many decimal places the figures of a sheet have, and whether they are such as can be protected.
func (s *sheet) measure() {
	for _, f := range s.figures {
		if math.IsNaN(f.value) {
			continue
		}
		if f.value < 0 {
			s.problem = errValues("a figure is negative, so that it is no count")
			return
		}
		s.largest = max(s.largest, f.value)
		for {
			units := f.value * float64(unit{decimals: s.decimals}.scale())
			if math.Abs(units-math.Round(units)) <= 1e-9*max(1, units) {
				break
			}
			if s.decimals == maxDecimals {
				s.problem = errValues("a figure has more than %d decimal places", maxDecimals)
				return
			}
			s.decimals++
		}
	}
	if s.largest > disclosure.MaxValue {
		s.problem = errValues("a figure is above %d", int64(disclosure.MaxValue))
	}
}

// fits returns why the figures of a sheet cannot be counted in the unit; nil: they can.
func (m *maker) fits(s *sheet) error {
	switch {
	case m.unit.problem != nil:
		return m.unit.problem
	case s.problem != nil:
		return s.problem
	case s.decimals > m.unit.decimals:
		return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
			"%s counts in units of %v in %s, and was told in units of %v before, which stays: round it to these, or give it as another indicator",
			s.indicator, unit{decimals: s.decimals}, s.period, m.unit)
	case s.largest*float64(m.unit.scale()) > disclosure.MaxValue:
		return errValues("a figure is above %d, which is too large in units of %v", int64(disclosure.MaxValue)/m.unit.scale(), m.unit)
	}
	return nil
}

// decideUnit decides what the figures of an indicator are counted in: what the audiences were told in, else the finest that
// policy or any of the sheets asks for. It notes in t what their ledgers do not say yet.
func (m *maker) decideUnit(ctx context.Context, t *table, code string, sheets []*sheet) error {
	m.unit = unit{decimals: m.ruling.Obligations.Decimals}
	if d := m.unit.decimals; d < 0 || d > maxDecimals {
		m.unit.problem = errValues("policy asks for %d decimal places, and there are from 0 to %d", d, maxDecimals)
	}
	for _, s := range sheets {
		if s.problem == nil {
			m.unit.decimals = max(m.unit.decimals, s.decimals)
		}
	}
	key := m.unitKey(m.nested[indicator].top(code))
	found, err := recorded(ctx, m.audiences, []string{key})
	if err != nil {
		return err
	}
	var told []int64
	missing := false
	for _, of := range found {
		missing = missing || len(of) == 0
		for _, u := range of {
			told = append(told, u.Value)
		}
	}
	if len(told) > 0 {
		least, most := slices.Min(told), slices.Max(told)
		if m.unit.decimals = int(most); least != most {
			m.unit.problem = fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
				"some were told of %s in units of %v and others in units of %v, which cannot be compared", code, unit{decimals: int(least)}, m.unit)
		}
	}
	if missing && m.unit.problem == nil {
		t.units = append(t.units, ledger.Cell{Key: key, Value: int64(m.unit.decimals), Status: disclosure.Published, Ceiling: maxDecimals})
	}
	return nil
}

// unitKey names in ledgers, as a cell whose figure they are, the decimal places that an indicator is told with.
func (m *maker) unitKey(code string) string {
	if !m.has(indicator) {
		code = ""
	}
	return strings.Join([]string{"decimals of", m.structures.flow(), code}, " ")
}

// addUnits adds what other tables are counted in. These are kept back where the same is to be told in another unit with them.
func (t *table) addUnits(other table) {
	for _, u := range other.units {
		i := slices.IndexFunc(t.units, func(mine ledger.Cell) bool { return mine.Key == u.Key })
		if i < 0 {
			t.units = append(t.units, u)
			continue
		}
		if t.units[i] != u {
			for _, m := range other.made {
				m.refuse(fault.New(fault.Precondition, "DISCLOSED_TOGETHER", "policy asks for other decimal places of %s than of the indicators that it is nested with: ask for the same", m.sheet.indicator))
			}
		}
	}
}

// keepUnits notes in the ledgers what the tables are counted in, before the first of them is told.
func (t *table) keepUnits(ctx context.Context, stacks []ledger.Stack, id string) error {
	if len(t.units) == 0 || !slices.ContainsFunc(t.made, func(m *made) bool { return !m.known && m.refusal == nil }) {
		return nil
	}
	if err := noteDown(ctx, stacks, ledger.Release{ID: id, Revision: t.revision, Cells: t.units}); err != nil {
		return fmt.Errorf("noting decimal places: %w", err)
	}
	return nil
}

// refuse keeps a table back that is not out already, for what it has to do with.
func (m *made) refuse(err error) {
	if !m.known {
		m.refusal = &ledger.Refusal{Reason: ledger.Unproved, Text: said(err)}
	}
}
