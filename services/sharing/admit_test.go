package sharing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/ledger/ledgertest"
	"github.com/comity-federation/comity/services/fault"
)

// months is statistics of counts by month, section and country, of which everything else is a sum.
type months struct {
	archive
	counts map[[3]string]float64
	least  int                             // how many decimal places policy asks for
	at     int64                           // the revision
	before map[int64]map[[3]string]float64 // counts by revision, as far as anybody asked for them
	gone   map[int64]bool                  // revisions that there are no more
}

func newMonths(counts map[[3]string]float64) *months {
	structures := coast()
	structures.Dimensions[0].Codes = map[string]Code{"A": {}, "M": {}}
	return &months{archive: archive{structures: structures}, counts: counts, at: 1, before: map[int64]map[[3]string]float64{}}
}

func (f *months) Query(_ context.Context, query Query, each func(*block.Block) error) (int64, error) {
	f.before[f.at] = maps.Clone(f.counts)
	revision := cmp.Or(query.Revision, f.at)
	if f.gone[revision] {
		return 0, fault.Missing("there is no revision %d", revision)
	}
	asked := map[string][]string{}
	for _, s := range query.Selections {
		asked[s.Dimension] = s.Codes
	}
	names := []string{}
	for _, d := range f.structures.Dimensions {
		names = append(names, d.ID)
	}
	rows := block.NewBuilder(append(names, block.TimePeriod, block.ObsStatus, block.ConfStatus), []string{block.ObsValue})
	sums := map[[4]string]float64{} // frequency, section, country, period
	holds := func(dimension int, whole, code string) bool {
		for ; code != whole && code != ""; code = f.structures.Dimensions[dimension].Codes[code].Parent {
		}
		return code == whole
	}
	for _, frequency := range asked[freq] {
		for _, section := range asked["SECTION"] {
			for _, country := range asked["CITIZENSHIP"] {
				for key, n := range f.before[revision] {
					at := key[0]
					if frequency == "A" {
						at = at[:4]
					}
					if holds(3, section, key[1]) && holds(4, country, key[2]) {
						sums[[4]string{frequency, section, country, at}] += n
					}
				}
			}
		}
	}
	for key, n := range sums {
		rows.Append([]string{key[0], "AA", "1A", key[1], key[2], Total, key[3], "A", free}, []float64{n})
	}
	return revision, each(rows.Block())
}

// give makes tables for those who have the stacks, and admits them. It returns what goes.
func (f *months) give(t *testing.T, detail map[string]string, stacks ...ledger.Stack) table {
	t.Helper()
	decided := DecidedRequest{
		Question: Question{Indicator: "1A"}, Include: Condition{filter.True()},
		Ruling: Ruling{Detail: detail, Obligations: Obligations{MinimumFrequency: 3, RelativeWidth: 0.2, Decimals: f.least}},
	}
	var readers []audience
	for _, s := range stacks {
		readers = append(readers, audience{Reader: s})
	}
	service := New(Config{State: "aa", Statistics: f})
	made, err := service.tables(t.Context(), f.structures, []DecidedRequest{decided}, []string{"AA"}, nil, readers)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.admit(t.Context(), stacks, "test"); err != nil {
		t.Fatal(err)
	}
	return made
}

// read tells a reader what goes.
func (m *made) read(t *testing.T, reader *ledgertest.Reader, revision int64) {
	t.Helper()
	release, err := m.release(revision)
	if err != nil {
		t.Fatal(err)
	}
	reader.Show(release)
}

// readSums tells a reader that years are the sums of their months, where it was told of both, with their present values or
// that they are withheld. Nobody is told when a figure was revised of which nothing was said before.
func (f *months) readSums(reader *ledgertest.Reader, told map[string]int64) {
	release := ledger.Release{Revision: f.at, Ceiling: 1e6}
	cells := map[string]int64{}
	parts := map[string]map[string]bool{}
	for key, n := range f.counts {
		for _, section := range f.above(3, key[1]) {
			for _, country := range f.above(4, key[2]) {
				year := f.structures.ledgerKey([]string{"A", "AA", "1A", section, country, Total}, key[0][:4])
				month := f.structures.ledgerKey([]string{"M", "AA", "1A", section, country, Total}, key[0])
				cells[year] += int64(n)
				cells[month] += int64(n)
				if parts[year] == nil {
					parts[year] = map[string]bool{}
				}
				parts[year][month] = true
			}
		}
	}
	maps.DeleteFunc(parts, func(year string, months map[string]bool) bool {
		// That a month has none is nothing that anybody would mind.
		maps.DeleteFunc(months, func(key string, _ bool) bool { return cells[key] == 0 && told[key] != 0 })
		for key := range months {
			if value, ok := told[key]; !ok || value != cells[key] {
				return true
			}
		}
		value, ok := told[year]
		return !ok || value != cells[year]
	})
	maps.DeleteFunc(cells, func(key string, value int64) bool { before, ok := told[key]; return !ok || before != value })
	for _, key := range sorted(cells) {
		release.Cells = append(release.Cells, ledger.Cell{Key: key, Value: cells[key], Status: disclosure.Secondary})
	}
	for _, year := range sorted(parts) {
		release.Equations = append(release.Equations, ledger.Equation{Total: year, Parts: sorted(parts[year])})
	}
	reader.Show(release)
}

// above returns a code and those that contain it.
func (f *months) above(dimension int, code string) []string {
	var codes []string
	for ; code != ""; code = f.structures.Dimensions[dimension].Codes[code].Parent {
		codes = append(codes, code)
	}
	return codes
}

var (
	monthly  = map[string]string{"FREQ": "M", "SECTION": "section", "CITIZENSHIP": "country"}
	sections = map[string]string{"FREQ": "M", "SECTION": "section"}
	yearly   = map[string]string{"FREQ": "A", "SECTION": "section", "CITIZENSHIP": "country"}
)

func TestAdmit(t *testing.T) {
	counts := map[[3]string]float64{}
	for m, n := range []float64{2, 30, 40} {
		at := fmt.Sprintf("2024-%02d", m+1)
		counts[[3]string{at, "W1", "R1"}] = n
		counts[[3]string{at, "W2", "R1"}], counts[[3]string{at, "W1", "Q1"}], counts[[3]string{at, "W2", "Q1"}] = 50, 60, 70
		counts[[3]string{at, "E1", "R1"}], counts[[3]string{at, "E2", "Q1"}] = 80, 90
	}
	shown := func(t table) map[string]bool {
		shown := map[string]bool{}
		for _, r := range t.rows {
			shown[strings.Join(append(r.codes[3:5:5], r.period), " ")] = r.conf == free
		}
		return shown
	}
	t.Run("lets a table go again as it went, without looking at it", func(t *testing.T) {
		f, stack := newMonths(counts), ledger.NewMemory()
		first := f.give(t, monthly, stack)
		again := f.give(t, monthly, stack)
		if len(again.made) != 3 || !again.made[0].known || !slices.Equal(first.show(3, 4), again.show(3, 4)) {
			t.Errorf("%v\n%v", first.show(3, 4), again.show(3, 4))
		}
	})
	t.Run("shows one partner nothing that another one was refused", func(t *testing.T) {
		f, stack := newMonths(counts), ledger.NewMemory()
		first := shown(f.give(t, monthly, stack))
		for cell, free := range shown(f.give(t, sections, stack)) {
			if before, told := first[cell]; told && before != free {
				t.Errorf("%s: %v, then %v", cell, before, free)
			}
		}
	})
	t.Run("joins a year to its months", func(t *testing.T) {
		alone := shown(newMonths(counts).give(t, yearly, ledger.NewMemory()))
		f, stack := newMonths(counts), ledger.NewMemory()
		f.give(t, monthly, stack)
		joined := shown(f.give(t, yearly, stack))
		// W1 R1 of January is 2, and February and March are shown.
		if !alone["W1 R1 2024"] || joined["W1 R1 2024"] {
			t.Errorf("alone %v, beside its months %v", alone["W1 R1 2024"], joined["W1 R1 2024"])
		}
	})
	t.Run("joins months to their year", func(t *testing.T) {
		f, stack := newMonths(counts), ledger.NewMemory()
		f.give(t, yearly, stack)
		joined := shown(f.give(t, monthly, stack))
		if joined["W1 R1 2024-02"] && joined["W1 R1 2024-03"] {
			t.Error("both months beside the small one go")
		}
	})
	t.Run("notices what went since the tables were made", func(t *testing.T) {
		f, stack := newMonths(counts), ledger.NewMemory()
		decided := DecidedRequest{Question: Question{Indicator: "1A"}, Include: Condition{filter.True()}, Ruling: Ruling{Detail: yearly}}
		year, err := New(Config{State: "aa", Statistics: f}).tables(t.Context(), f.structures, []DecidedRequest{decided}, []string{"AA"}, nil, []audience{{Reader: stack}})
		if err != nil {
			t.Fatal(err)
		}
		f.give(t, monthly, stack)
		if err := year.admit(t.Context(), []ledger.Stack{stack}, "late"); !errors.Is(err, errToldSince) {
			t.Errorf("%v", err)
		}
	})
	t.Run("leaves a table out that cannot be helped, and lets it go later", func(t *testing.T) {
		f, stack := newMonths(counts), ledger.NewMemory()
		// Somebody was told another figure of the same revision.
		told, err := ledger.Admit(t.Context(), []ledger.Stack{stack}, ledger.Release{Revision: 1, Ceiling: 1000, Cells: []ledger.Cell{
			{Key: "T:T 2024-02 FREQ=M REF_AREA=AA INDICATOR=1A", Value: 999, Status: disclosure.Published},
		}}, ledger.Options{Random: rand.NewChaCha8([32]byte{})})
		if err != nil {
			t.Fatal(err)
		}
		if err := told.Record(t.Context(), []ledger.Stack{stack}); err != nil {
			t.Fatal(err)
		}
		first := f.give(t, monthly, stack)
		if len(first.made) != 2 || len(first.Notes) != 1 || first.Notes[0].Detail != nil || !slices.Equal(first.Notes[0].Periods, []string{"2024-02"}) {
			t.Errorf("%d tables, %+v", len(first.made), first.Notes)
		}
		if row := shown(first); row["_T _T 2024-02"] || len(row) == 0 {
			t.Error("its total goes")
		}
		f.at++
		if later := f.give(t, monthly, stack); len(later.made) != 3 || len(later.Notes) != 0 {
			t.Errorf("%+v", later.Notes)
		}
	})
}

func TestAdmit_reveals_nothing_to_partners_who_pool(t *testing.T) {
	runs := 10
	if os.Getenv("COMITY_LONG") != "" {
		runs = 200
	}
	tables, kept, refused := 0, 0, 0
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		counts := map[[3]string]float64{}
		figure := func() float64 {
			if r.IntN(2) == 0 {
				return float64(r.IntN(4))
			}
			return float64(r.IntN(60))
		}
		for m := range 3 {
			for _, section := range []string{"W1", "W2", "E1", "E2"}[:2+r.IntN(3)] {
				for _, country := range []string{"R1", "R2", "Q1", "XXX"}[:2+r.IntN(3)] {
					counts[[3]string{fmt.Sprintf("2024-%02d", m+1), section, country}] = figure()
				}
			}
		}
		f, stack, reader := newMonths(counts), ledger.NewMemory(), ledgertest.NewReader(ledgertest.NewArchive())
		told := map[string]int64{}
		details := []map[string]string{
			monthly, sections, yearly, {"FREQ": "A"}, {"FREQ": "A", "CITIZENSHIP": "country"}, {"FREQ": "M", "SECTION": "coast", "CITIZENSHIP": "region"},
		}
		for range 5 {
			if r.IntN(3) == 0 {
				f.at++
				for _, key := range slices.SortedFunc(maps.Keys(f.counts), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
					if r.IntN(8) == 0 {
						f.counts[key] = figure()
					}
				}
			}
			given := f.give(t, details[r.IntN(len(details))], stack)
			for _, m := range given.made {
				tables++
				m.read(t, reader, f.at)
				for i, c := range m.table.Cells {
					if !c.Absent {
						told[m.names[i]] = c.Value
					}
				}
			}
			for _, note := range given.Notes {
				if note.Detail == nil {
					refused += len(note.Periods)
				}
			}
			kept += given.Released
			f.readSums(reader, told)
		}
		if findings := reader.Findings(t); len(findings) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(findings, "\n"))
		}
	}
	t.Logf("%d tables, %d refused, %d figures", tables, refused, kept)
	if tables < 8*refused || kept == 0 {
		t.Error("too little goes to show anything")
	}
}
