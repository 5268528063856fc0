package sharing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

// Span is a stretch of time, both ends included. Figures are in it whose whole period is.
type Span struct {
	From string `json:"from,omitempty"` // a period, "2024", "2024-Q2", "2024-03" or "2024-03-15": from its first day on; "": it has no beginning
	To   string `json:"to,omitempty"`   // a period: until its last day; "": it has no end
}

// Spans are the times whose figures may go; none: all times.
type Spans []Span

// maxSpans is how many spans an agreement may have.
const maxSpans = 100

// check returns what is wrong with a span.
func (s Span) check() error {
	if s == (Span{}) {
		return fmt.Errorf("a span has a beginning or an end")
	}
	first, last, err := s.days()
	if err != nil {
		return err
	}
	if !first.IsZero() && !last.IsZero() && last.Before(first) {
		return fmt.Errorf("%s ends before it begins", s)
	}
	return nil
}

// days returns the first and the last day; zero where the span is open.
func (s Span) days() (first, last time.Time, err error) {
	if s.From != "" {
		p, err := period.Parse(s.From)
		if err != nil {
			return first, last, err
		}
		first = p.Start()
	}
	if s.To != "" {
		p, err := period.Parse(s.To)
		if err != nil {
			return first, last, err
		}
		last = p.End()
	}
	return first, last, nil
}

// String returns the span for people.
func (s Span) String() string {
	switch {
	case s.From == "":
		return "until " + s.To
	case s.To == "":
		return "from " + s.From
	default:
		return s.From + " to " + s.To
	}
}

// String returns the spans for people.
func (s Spans) String() string {
	texts := make([]string, len(s))
	for i, span := range s {
		texts[i] = span.String()
	}
	return strings.Join(texts, ", ")
}

// hold reports whether the whole of a period is in one of the spans. What is no period is in none.
func (s Spans) hold(text string) bool {
	if len(s) == 0 {
		return true
	}
	p, err := period.Parse(text)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s, func(span Span) bool {
		first, last, err := span.days()
		return err == nil && !p.Start().Before(first) && (last.IsZero() || !p.End().After(last))
	})
}

// outside returns a period of the rows that is not in the spans; "" where all are.
func (s Spans) outside(b *block.Block) string {
	column := b.Column(block.TimePeriod)
	if len(s) == 0 || column == nil {
		return ""
	}
	for _, text := range usedCodes(column) {
		if !s.hold(text) {
			return text
		}
	}
	return ""
}

// covered returns the sheets of the periods that may go by policy and by the agreement, and notes the others.
func (m *maker) covered(t *table, sheets []*sheet) []*sheet {
	var covered []*sheet
	for _, s := range sheets {
		i := slices.IndexFunc(m.periods, func(spans Spans) bool { return !spans.hold(s.period) })
		if i < 0 {
			covered = append(covered, s)
			continue
		}
		t.note(Note{
			Area: s.area, Indicator: s.indicator, Periods: []string{s.period},
			Reason: "PERIOD_NOT_COVERED: it is agreed that figures go of " + m.periods[i].String(),
		})
	}
	return covered
}
