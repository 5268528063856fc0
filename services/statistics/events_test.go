package statistics_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// counted is a file whose figures count persons.
type counted struct {
	flow   statistics.Ref
	cells  map[string]int // figures above 0 by key and period, "M EAST F 2023-01"
	total  int
	sample []string // the codes and the period of each cell, in the order of the file
}

// readCounts returns the figures of a file.
func readCounts(s *stateFiles, dimensions []string, blocks []*block.Block) *counted {
	c := &counted{flow: s.layout.Dataflow, cells: map[string]int{}}
	for _, b := range blocks {
		for row, value := range b.Column(block.ObsValue).Numbers {
			if value == 0 {
				continue // nobody came, so there is no event
			}
			var key []string
			for _, id := range dimensions {
				key = append(key, b.Column(id).Text(row))
			}
			name := strings.Join(append(key, b.Column(block.TimePeriod).Text(row)), "\x00")
			if _, twice := c.cells[name]; !twice {
				c.sample = append(c.sample, name)
			}
			c.cells[name] += int(value)
			c.total += int(value)
		}
	}
	return c
}

// older returns figures of a period before all others, with every label of the file: events take no others.
func older(dimensions []string, blocks []*block.Block) *block.Block {
	labels, most := make([][]string, len(dimensions)), 0
	for i, id := range dimensions {
		seen := map[string]bool{}
		for _, b := range blocks {
			for _, text := range b.Column(id).Dictionary {
				if !seen[text] {
					seen[text] = true
					labels[i] = append(labels[i], text)
				}
			}
		}
		most = max(most, len(labels[i]))
	}
	builder := block.NewBuilder(append(slices.Clone(dimensions), block.TimePeriod), []string{block.ObsValue})
	for row := range most {
		var texts []string
		for i := range labels {
			texts = append(texts, labels[i][row%len(labels[i])])
		}
		before, _ := period.At(statistics.Frequency(texts[0][0]), time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))
		builder.Append(append(texts, before.String()), []float64{1})
	}
	return builder.Block()
}

// events gives one record for each person counted, on days of the cell's period, every second with a record key.
func (c *counted) events(structure []string) iter.Seq2[*block.Block, error] {
	columns := append(slices.Clone(structure), block.TimePeriod)
	return func(yield func(*block.Block, error) bool) {
		random := rand.New(rand.NewPCG(1, 2)) // the same events in every run
		builder := block.NewBuilder(columns, []string{statistics.RecordKeyColumn})
		flush := func() bool {
			b := builder.Block()
			for i := range b.Columns {
				if numbers := b.Columns[i].Numbers; b.Columns[i].Component == statistics.RecordKeyColumn {
					for row := 1; row < len(numbers); row += 2 {
						numbers[row] = float64(random.Uint32())
					}
				}
			}
			builder.Reset()
			return yield(b, nil)
		}
		for _, name := range c.sample {
			texts := strings.Split(name, "\x00")
			at, err := period.Parse(texts[len(texts)-1])
			if err != nil {
				yield(nil, err)
				return
			}
			for person := range c.cells[name] {
				texts[len(texts)-1] = at.Start().AddDate(0, 0, person%28).Format(time.DateOnly)
				builder.Append(texts, []float64{float64(person)})
				if builder.Rows() == block.MaxRows && !flush() {
					return
				}
			}
		}
		if builder.Rows() > 0 {
			flush()
		}
	}
}

// stored returns the figures of a dataflow as [counted] has them.
func stored(t testing.TB, store *postgres.Store, service *statistics.Service, ref statistics.Ref) map[string]int {
	t.Helper()
	catalogue, err := service.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flow, err := catalogue.Flow(ref)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	err = store.View(t.Context(), statistics.Moment{}, func(ctx context.Context, view statistics.Snapshot) error {
		dictionary, err := view.Dictionary(ctx, flow)
		if err != nil {
			return err
		}
		for series, err := range view.Read(ctx, flow, []string{"xx"}, statistics.Selector{}) {
			if err != nil {
				return err
			}
			var key []string
			for i, code := range series.Key {
				key = append(key, dictionary.Text(i, code))
			}
			for i, index := range series.Track.Periods {
				at := statistics.Frequency(key[0][0]).Period(index).String()
				if at < "2000" {
					continue // the older figures
				}
				got[strings.Join(append(slices.Clone(key), at), "\x00")] = int(series.Track.Cells[i].Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func newService(t testing.TB) (*statistics.Service, *postgres.Store) {
	t.Helper()
	store := postgres.New(postgrestest.New(t, postgres.Migrations))
	return statistics.NewService(store, "xx", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() }), store
}

// recount makes events of the figures of a file, counts and closes them, and wants the figures back.
func recount(t *testing.T, s *stateFiles, path string) int {
	t.Helper()
	var report statistics.Report
	blocks := s.read(t, path, &report)
	if report.Blocking() {
		t.Fatalf("the file is rejected, first for %+v", report.Findings()[0])
	}
	dimensions := s.structure(t, s.layout.Dataflow).DimensionIDs()
	c := readCounts(s, dimensions, blocks)
	service, store := newService(t)
	if _, err := service.CreateStructures(t.Context(), &s.structures); err != nil {
		t.Fatal(err)
	}
	before := func(yield func(*block.Block, error) bool) { yield(older(dimensions, blocks), nil) }
	submission, err := service.Submit(t.Context(), statistics.Header{Dataflow: c.flow}, statistics.Content{Blocks: before})
	if err != nil || submission.State != statistics.Accepted {
		t.Fatalf("the older figures are not taken: %v %v", submission, err)
	}
	receipt, err := service.RecordEvents(t.Context(), statistics.EventHeader{Dataflow: c.flow, Batch: "all"}, c.events(dimensions))
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Records != c.total || receipt.Cells != len(c.cells) {
		t.Errorf("%d events are counted to %d cells, want %d and %d", receipt.Records, receipt.Cells, c.total, len(c.cells))
	}
	if _, err := service.CloseEvents(t.Context(), c.flow, "", "test"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.cells, stored(t, store, service, c.flow)); diff != "" {
		t.Errorf("the figures are not those of the file (-want +got):\n%.2000s", diff)
	}
	return c.total
}

func TestEventsGiveBackPublishedFigures(t *testing.T) {
	t.Parallel()
	if got := recount(t, loadState(t, sandbox, "gb"), filepath.Join(sandbox, "data/irregular_migration.csv.gz")); got != 174_977 {
		t.Errorf("%d events are made", got)
	}
}

func TestEventsGiveBackAllPublishedFigures(t *testing.T) {
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("32 million events take a while: set COMITY_LONG=1")
	}
	data := filepath.Join(shared(t), "data")
	begin := time.Now()
	total := recount(t, loadState(t, sandbox, "us"), filepath.Join(sandbox, "data/irreg_usa.csv.gz")) +
		recount(t, loadState(t, sandbox, "eu"), filepath.Join(sandbox, "data/frontex.csv.gz")) +
		recount(t, loadState(t, sandbox, "gb"), filepath.Join(data, "uk_home_office/irregular_migration.csv")) +
		recount(t, loadLayout(t, "co-entries"), filepath.Join(data, "colombia_entradas/Entradas_de_extranjeros_a_Colombia.csv"))
	if total != 32_322_849 {
		t.Errorf("%d events are made, want 32322849", total)
	}
	t.Logf("%d events are made and counted in %s", total, time.Since(begin).Round(time.Millisecond))
}

// BenchmarkEvents counts a million events of a harmonised dataflow, and beside it copies the same rows into a plain table
// without an index.
func BenchmarkEvents(b *testing.B) {
	const events, size = 1_000_000, 1 << 16
	structures, columns := borderLike()
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("keys=%t", keyed), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2)) // the same events in every run
			var blocks []*block.Block
			for rest := events; rest > 0; rest -= size {
				blocks = append(blocks, borderEvents(random, columns, min(rest, size), keyed))
			}
			service, _ := newService(b)
			if _, err := service.CreateStructures(b.Context(), structures); err != nil {
				b.Fatal(err)
			}
			count, n := time.Duration(0), 0
			for b.Loop() {
				n++
				begin := time.Now()
				_, err := service.RecordEvents(b.Context(), statistics.EventHeader{Dataflow: structures.Dataflows[0].Ref, Batch: fmt.Sprint(n)}, func(yield func(*block.Block, error) bool) {
					for _, each := range blocks {
						if !yield(each, nil) {
							return
						}
					}
				})
				if err != nil {
					b.Fatal(err)
				}
				count += time.Since(begin)
			}
			perSecond := events * float64(n) / count.Seconds()
			rows := copyRows(b, columns, blocks)
			b.ReportMetric(perSecond, "events/s")
			b.ReportMetric(rows, "copied-rows/s")
			b.ReportMetric(perSecond/rows, "ratio")
		})
	}
}

// borderLike returns a dataflow of nine dimensions.
func borderLike() (*statistics.Structures, []string) {
	s := &statistics.Structures{}
	structure := statistics.DataStructure{Ref: statistics.Ref{Agency: "X", ID: "BORDER", Version: "1.0.0"}}
	for id, codes := range map[string]int{"FREQ": 1, "REF_AREA": 1, "INDICATOR": 6, "SECTION": 20, "BORDER_TYPE": 3, "CITIZENSHIP": 190, "SEX": 2, "AGE": 4, "DETAIL": 3} {
		list := statistics.Codelist{Ref: statistics.Ref{Agency: "X", ID: "CL_" + id, Version: "1.0.0"}}
		for code := range codes {
			list.Codes = append(list.Codes, statistics.Code{ID: fmt.Sprintf("C%02d", code)})
		}
		if id == "FREQ" {
			list.Codes[0].ID = "M"
		}
		s.Codelists = append(s.Codelists, list)
	}
	columns := []string{"FREQ", "REF_AREA", "INDICATOR", "SECTION", "BORDER_TYPE", "CITIZENSHIP", "SEX", "AGE", "DETAIL"}
	for _, id := range columns {
		structure.Dimensions = append(structure.Dimensions, statistics.Component{ID: id, Codelist: statistics.Ref{Agency: "X", ID: "CL_" + id, Version: "1.0.0"}})
	}
	s.DataStructures = []statistics.DataStructure{structure}
	s.Dataflows = []statistics.Dataflow{{Ref: structure.Ref, Structure: structure.Ref}}
	return s, columns
}

// borderEvents are records of one month, of 3,000 kinds of which some are a hundred times as frequent as others.
func borderEvents(random *rand.Rand, columns []string, rows int, keyed bool) *block.Block {
	numbers := []string{}
	if keyed {
		numbers = []string{statistics.RecordKeyColumn}
	}
	builder := block.NewBuilder(append(slices.Clone(columns), block.TimePeriod), numbers)
	for range rows {
		kind := min(int(random.ExpFloat64()*600), 2999)
		code := func(n int) string { return fmt.Sprintf("C%02d", n) }
		texts := []string{
			"M", "C00", code(kind % 6), code(kind / 6 % 20), code(kind % 3), code(kind * 7 % 190), code(kind % 2), code(kind / 3 % 4), code(kind / 5 % 3),
			fmt.Sprintf("2023-01-%02d", 1+random.IntN(31)),
		}
		builder.Append(texts, []float64{float64(random.Uint32())}[:len(numbers)])
	}
	return builder.Block()
}
