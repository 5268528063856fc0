package sharing

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// stored is a statistics service that answers from memory: 200 months, 8 sections, 20 citizenships.
type stored struct{ rows *block.Block }

func benchStructures() *Structures {
	s := &Structures{Dataflow: "T:T(1.0.0)", Dimensions: []Dimension{
		{ID: freq},
		{ID: refArea},
		{ID: indicator},
		{ID: "SECTION", Levels: []string{"total", "section"}, Codes: map[string]Code{Total: {Level: "total"}}},
		{ID: "CITIZENSHIP", Levels: []string{"total", "country"}, Codes: map[string]Code{Total: {Level: "total"}}},
	}}
	for section := range 8 {
		s.Dimensions[3].Codes[fmt.Sprint("S", section)] = Code{Parent: Total, Level: "section"}
	}
	for country := range 20 {
		s.Dimensions[4].Codes[fmt.Sprint("C", country)] = Code{Parent: Total, Level: "country"}
	}
	return s
}

func newStored() *stored {
	rows := block.NewBuilder([]string{freq, refArea, indicator, "SECTION", "CITIZENSHIP", block.TimePeriod}, []string{block.ObsValue})
	for month := range 200 {
		period := fmt.Sprintf("%04d-%02d", 2000+month/12, month%12+1)
		sums := map[[2]string]float64{}
		for section := range 8 {
			for country := range 20 {
				value := float64((month*31 + section*17 + country*country*7) % 97)
				for _, s := range []string{Total, fmt.Sprint("S", section)} {
					for _, c := range []string{Total, fmt.Sprint("C", country)} {
						sums[[2]string{s, c}] += value
					}
				}
			}
		}
		for key, value := range sums {
			rows.Append([]string{"M", "AA", "1A", key[0], key[1], period}, []float64{value})
		}
	}
	return &stored{rows.Block()}
}

func (s *stored) Structures(context.Context, string) (*Structures, error) {
	return benchStructures(), nil
}

func (s *stored) Constraints(context.Context, string, StateCode) ([]Constraint, error) {
	return nil, nil
}

func (s *stored) Derivations(context.Context) ([]Derivation, error) { return nil, nil }

func (s *stored) Query(_ context.Context, _ Query, each func(*block.Block) error) (int64, error) {
	return 1, each(s.rows)
}

func (s *stored) Trace(context.Context, TraceQuery) ([]Origin, int64, error) { return nil, 1, nil }

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
		service.patterns = patterns{} // protect all of it anew
		made, err := service.tables(b.Context(), benchStructures(), []DecidedRequest{decided}, []string{"AA"}, nil, nil)
		if err != nil || len(made.rows) == 0 {
			b.Fatalf("%d rows, %v", len(made.rows), err)
		}
	}
}
