package sharing

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// stored is a statistics service that answers each level of a tree from memory: 200 months, 8 sections, 20 citizenships.
type stored struct{ levels map[int]*block.Block }

func benchStructures() *Structures {
	s := &Structures{Dataflow: "T:T(1.0.0)", Dimensions: []Dimension{
		{ID: freq},
		{ID: refArea},
		{ID: indicator},
		{ID: "SECTION", Levels: []string{"total", "section"}, Codes: map[string]Code{Total: {Level: "total"}, Other: {Level: "section"}}},
		{ID: "CITIZENSHIP", Levels: []string{"total", "country"}, Codes: map[string]Code{Total: {Level: "total"}, Other: {Level: "country"}}},
	}}
	return s
}

func newStored() *stored {
	s := &stored{levels: map[int]*block.Block{}}
	builders := make([]*block.Builder, 3)
	for i := range builders {
		builders[i] = block.NewBuilder([]string{freq, refArea, indicator, "SECTION", "CITIZENSHIP", block.TimePeriod}, []string{block.ObsValue})
	}
	for month := range 200 {
		period := fmt.Sprintf("%04d-%02d", 2000+month/12, month%12+1)
		root := 0.0
		for section := range 8 {
			sum := 0.0
			for country := range 20 {
				value := float64((month*31 + section*17 + country*country*7) % 97)
				sum += value
				builders[2].Append([]string{"M", "AA", "1A", fmt.Sprint("S", section), fmt.Sprint("C", country), period}, []float64{value})
			}
			root += sum
			builders[1].Append([]string{"M", "AA", "1A", fmt.Sprint("S", section), Total, period}, []float64{sum})
		}
		builders[0].Append([]string{"M", "AA", "1A", Total, Total, period}, []float64{root})
	}
	for i, b := range builders {
		s.levels[i] = b.Block()
	}
	return s
}

func (s *stored) Structures(context.Context, string) (*Structures, error) {
	return benchStructures(), nil
}

func (s *stored) Query(_ context.Context, query Query, each func(*block.Block) error) (int64, error) {
	level := 0
	for _, selection := range query.Selections {
		if selection.Level != "" {
			level++
		}
	}
	return 1, each(s.levels[level])
}

func (s *stored) Watch(context.Context, string, func(Revision) error) error { return nil }

func (s *stored) Submit(context.Context, Submission, iter.Seq2[*block.Block, error]) (Submitted, error) {
	return Submitted{}, nil
}

// BenchmarkTables makes a table of 33,800 cells.
func BenchmarkTables(b *testing.B) {
	service := New(Config{State: "aa", Statistics: newStored()})
	decided := DecidedRequest{
		Question: Question{Indicator: "1A"}, Include: Condition{filter.Compare(filter.OpNe, "CITIZENSHIP", "C7")},
		Ruling: Ruling{
			Detail:      map[string]string{freq: "M", "SECTION": "section", "CITIZENSHIP": "country"},
			Obligations: Obligations{MinimumFrequency: 3},
		},
	}
	for b.Loop() {
		made, err := service.tables(b.Context(), benchStructures(), decided, []string{"AA"}, 0)
		if err != nil || len(made.rows) == 0 {
			b.Fatalf("%d rows, %v", len(made.rows), err)
		}
	}
}
