package statistics

import (
	"context"
	"iter"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
)

// memory is a snapshot of figures in tables, one a provider, all with one dictionary.
type memory struct {
	flow   *Flow
	tables map[string]*Table
	order  []string
	before map[string]*Table // the state of revision 1; the tables are that of revision 2
}

// memoryOf returns an empty snapshot of a dataflow whose dimensions after FREQ have the hierarchies.
func memoryOf(trees []*Hierarchy, attributes ...string) *memory {
	structure := &DataStructure{Ref: Ref{"X", "S", "1.0.0"}, Dimensions: []Component{{ID: frequencyID}}}
	for i := range trees {
		structure.Dimensions = append(structure.Dimensions, Component{ID: string(rune('D' + i))})
	}
	for _, id := range append([]string{block.ObsStatus, block.ConfStatus}, attributes...) {
		structure.Attributes = append(structure.Attributes, Component{ID: id})
	}
	flow := &Flow{Dataflow: Dataflow{Ref: Ref{"X", "F", "1.0.0"}}, Structure: structure, Dimensions: append([]*Hierarchy{nil}, trees...)}
	return &memory{flow: flow, tables: map[string]*Table{}}
}

// service returns a service of the snapshot, for the state own.
func (m *memory) service() *Service {
	return &Service{
		store: memoryStore{m: m}, state: "own", now: func() time.Time { return time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC) },
		catalogue: &Catalogue{flows: map[Ref]*Flow{m.flow.Ref: m.flow}},
	}
}

func (m *memory) table(provider string) *Table {
	if m.tables[provider] == nil {
		m.tables[provider] = NewTable(m.flow.Structure)
		for _, other := range m.tables {
			m.tables[provider].dictionary = other.dictionary
		}
		m.order = append(m.order, provider)
		slices.Sort(m.order)
	}
	return m.tables[provider]
}

// put adds a figure under codes of all dimensions.
func (m *memory) put(t rapid.TB, provider, at string, cell Cell, further []string, codes ...string) {
	t.Helper()
	table := m.table(provider)
	p, err := parsePeriod(at)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]uint32, len(codes))
	for i, code := range codes {
		numbers[i] = table.Code(i, code)
	}
	if further != nil {
		cell.Attributes = table.AttributeSet(further)
	}
	table.Put(table.Series(numbers), p.Index, cell)
}

// memoryStore is a store that has one state.
type memoryStore struct {
	Store
	m *memory
}

func (s memoryStore) ViewFlow(ctx context.Context, _ *Flow, _ Moment, do func(context.Context, Snapshot) error) error {
	return do(ctx, s.m)
}

func (m *memory) Dictionary(context.Context, *Flow) (*Dictionary, error) {
	for _, t := range m.tables {
		return t.dictionary, nil
	}
	return NewDictionary(len(m.flow.Structure.Dimensions)), nil
}

func (m *memory) Revision() (int64, time.Time) { return 2, time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC) }

func (m *memory) StructuresChange() int64 { return 0 }

func (m *memory) Before(context.Context, Moment) (int64, time.Time, error) {
	return 1, time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), nil
}

func (m *memory) Providers(context.Context, Ref) ([]string, error) { return m.order, nil }

func (m *memory) Restricted(ctx context.Context, flow *Flow, providers []string, _ Sight) iter.Seq2[*Series, error] {
	return m.Read(ctx, flow, providers, Selector{})
}

// series returns a series of a table as it is read.
func seriesOf(provider string, t *Table, s int, spans []Span) *Series {
	made := &Series{Provider: provider, Key: slices.Clone(t.Key(s))}
	for i, period := range t.tracks[s].Periods {
		if spans != nil && !slices.ContainsFunc(spans, func(span Span) bool {
			return span.Frequency == t.Frequency(s) && span.First <= period && period <= span.Last
		}) {
			continue
		}
		cell := t.tracks[s].Cells[i]
		made.Track.Periods, made.Track.Cells = append(made.Track.Periods, period), append(made.Track.Cells, cell)
		made.Track.Cells[made.Track.Len()-1].Attributes = 0
		if cell.Attributes != 0 {
			if made.Further == nil {
				made.Further = map[int32][]string{}
			}
			made.Further[period] = t.Attributes(cell.Attributes)
		}
	}
	return made
}

func (m *memory) Read(_ context.Context, _ *Flow, providers []string, s Selector) iter.Seq2[*Series, error] {
	var all []*Series
	for _, provider := range providers {
		t := m.tables[provider]
		if t == nil {
			continue
		}
		for n := range t.tracks {
			passes := s.Filter.Match(func(id string) string {
				dimension := m.flow.Structure.Dimension(id)
				return t.dictionary.Text(dimension, t.Key(n)[dimension])
			})
			if made := seriesOf(provider, t, n, s.Spans); passes && made.Track.Len() > 0 {
				all = append(all, made)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *Series) int { return slices.Compare(a.Key, b.Key) })
	return func(yield func(*Series, error) bool) {
		for _, series := range all {
			if !yield(series, nil) {
				return
			}
		}
	}
}

func (m *memory) Changes(_ context.Context, _ *Flow, providers []string, _ int64, _ Selector, _ [][]uint32) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		for _, provider := range providers {
			now, then := m.tables[provider], m.before[provider]
			if now == nil {
				continue
			}
			for n := range now.tracks {
				change := &Change{After: *seriesOf(provider, now, n, nil), Before: Series{Provider: provider, Key: now.Key(n)}}
				if then != nil {
					if s, ok := then.number(now.Key(n)); ok {
						change.Before = *seriesOf(provider, then, s, nil)
					}
				}
				if !yield(change, nil) {
					return
				}
			}
		}
	}
}

func (m *memory) Trace(context.Context, *Flow, string, Selector) ([]Origin, error) { return nil, nil }

func (m *memory) Index(_ context.Context, _ *Flow, provider string, do func(*Index) error) error {
	x, t := NewIndex(len(m.flow.Structure.Dimensions)), m.tables[provider]
	if t == nil {
		return nil
	}
	for s := range t.tracks {
		var key []byte
		for _, code := range t.Key(s) {
			key = append(key, byte(code>>8), byte(code))
		}
		for _, period := range t.tracks[s].Periods {
			first := period - period%16
			x.Add(key, Run{First: first, Mask: 1 << (period - first)})
		}
	}
	return do(x)
}

// answers returns the rows of an answer by key, period and provider.
func answers(t testing.TB, s *Service, q Query) (map[string]float64, map[string]string, error) {
	t.Helper()
	values, statuses := map[string]float64{}, map[string]string{}
	err := s.Query(t.Context(), q, func(p *Page) error {
		if err := p.Block.Check(); err != nil {
			return err
		}
		for i := range p.Block.Rows {
			key := ""
			for _, c := range p.Block.Columns {
				if c.Component == block.ObsValue {
					break
				}
				key += c.Text(i) + " "
			}
			key += p.Block.Column(block.Provider).Text(i)
			if _, twice := values[key]; twice {
				t.Errorf("%s stands twice", key)
			}
			values[key] = p.Block.Column(block.ObsValue).Numbers[i]
			statuses[key] = p.Block.Column(block.ObsStatus).Text(i) + " " + p.Block.Column(block.ConfStatus).Text(i) + " " + p.Block.Column(block.Comment).Text(i)
			if math.IsNaN(values[key]) != (statuses[key][0] == Suppressed) {
				t.Errorf("%s is %v with the status %s", key, values[key], statuses[key])
			}
		}
		return nil
	})
	return values, statuses, err
}
