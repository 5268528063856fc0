package statistics

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// countingStore is a store in memory, with counters of events.
type countingStore struct {
	memoryStore
	counters []EventCell
	last     int64 // the revision of the last closing
	closings int   // that were waited for
	settle   func()
	digest   *[32]byte
}

func (s *countingStore) ClosedEvents(_ context.Context, _ Part, cells iter.Seq[EventCell], each func(EventCell)) (int64, error) {
	for cell := range cells {
		for _, counter := range s.counters {
			if counter.Key == cell.Key && counter.Period == cell.Period {
				each(counter)
			}
		}
	}
	return s.last, nil
}

func (s *countingStore) HoldCellSecret(_ context.Context, digest [32]byte) (bool, error) {
	if s.digest == nil {
		s.digest = &digest
	}
	return *s.digest == digest, nil
}

func (s *countingStore) AwaitClosing(context.Context) error {
	s.closings++
	if s.settle != nil {
		s.settle()
	}
	return nil
}

// counter returns a service of the figures in memory that has a secret.
func (m *memory) counter(t testing.TB) (*Service, *countingStore) {
	t.Helper()
	s, store := m.service(), &countingStore{memoryStore: memoryStore{m: m}}
	s.store = store
	if err := s.KeyCellsBy(t.Context(), bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	return s, store
}

// counts returns what the service counts, by codes and period.
func counts(t testing.TB, s *Service, q CellQuery) map[string]keyedFigure {
	t.Helper()
	found := map[string]keyedFigure{}
	_, err := s.CountCells(t.Context(), q, func(c CountedCell) error {
		key := strings.Join(append(slices.Clone(c.Codes), c.Period.String()), " ")
		if _, twice := found[key]; twice {
			t.Errorf("%s stands twice", key)
		}
		found[key] = keyedFigure{value: float64(c.Count), key: c.Key}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (m *memory) cellQuery(frequency string, first, second []string) CellQuery {
	return CellQuery{
		Dataflow: m.flow.Ref, Start: "2023", End: "2024",
		Selections: []Selection{{Dimension: frequencyID, Codes: []string{frequency}}, {Dimension: "D", Codes: first}, {Dimension: "E", Codes: second}},
	}
}

func drawCells(t *rapid.T, m *memory, name string) CellQuery {
	some := func(codes []string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 7, rapid.ID).Draw(t, name)
	}
	return m.cellQuery(rapid.SampledFrom([]string{"A", "Q", "M"}).Draw(t, name), some(firstCodes), some(secondCodes))
}

// setApart gives the own figures values of which no two sums are equal, so that it is never open which counts more.
func (m *memory) setApart() {
	value := 1.0
	table := m.table("own")
	for n := range table.tracks {
		for i := range table.tracks[n].Cells {
			table.tracks[n].Cells[i].Value = value
			value *= 2
		}
	}
}

func TestCountsAreWhatAQueryAnswers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := figuresOf(rt, FreeToShow)
		m.setApart()
		s, _ := m.counter(t)
		q := drawCells(rt, m, "question")
		shown, _, err := answers(t, s, Query{
			Dataflow: q.Dataflow, Providers: []string{"own"}, Selections: q.Selections, Start: q.Start, End: q.End, Sight: Everything(),
		})
		if err != nil {
			rt.Fatal(err)
		}
		want, got := map[string]float64{}, map[string]float64{}
		for key, value := range shown {
			want[strings.TrimSuffix(key, " own")] = value
		}
		for key, figure := range counts(t, s, q) {
			got[key] = figure.value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("counts (-query +cells):\n%s", diff)
		}
	})
}

func TestACellIsTheSameInEveryQuestion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := figuresOf(rt, FreeToShow, FreeToShow, FreeToShow, 'C')
		s, _ := m.counter(t)
		one, other := drawCells(rt, m, "one"), drawCells(rt, m, "other")
		other.Selections[0] = one.Selections[0]
		other.Start, other.End = "2023-07", "2024-12" // the other has other periods, too
		found := counts(t, s, one)
		for key, figure := range counts(t, s, other) {
			if before, both := found[key]; both && before != figure {
				rt.Fatalf("%s is %+v in one question and %+v in another", key, before, figure)
			}
		}
		for key, figure := range found {
			codes := strings.Fields(key)
			alone := m.cellQuery(codes[0], codes[1:2], codes[2:3])
			alone.Start, alone.End = codes[3], codes[3]
			if diff := cmp.Diff(map[string]keyedFigure{key: figure}, counts(t, s, alone), cmp.AllowUnexported(keyedFigure{})); diff != "" {
				rt.Fatalf("alone (-among others +alone):\n%s", diff)
			}
		}
	})
}

func TestNoCountGivesAHiddenFigureAway(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := figuresOf(rt, FreeToShow, 'C', 'N')
		s, _ := m.counter(t)
		for _, frequency := range []string{"A", "Q", "M"} {
			q := m.cellQuery(frequency, firstCodes, secondCodes)
			_, statuses, err := answers(t, s, Query{
				Dataflow: q.Dataflow, Providers: []string{"own"}, Selections: q.Selections, Start: q.Start, End: q.End, Sight: Sight{ConfStatus: "F"},
			})
			if err != nil {
				rt.Fatal(err)
			}
			for key := range counts(t, s, q) {
				if status := statuses[key+" own"]; status == "" || status[0] == Suppressed && strings.Contains(status, "C") {
					if hiddenItself(m, key) {
						rt.Fatalf("%s is given, which is %q to everybody", key, status)
					}
				}
			}
		}
	})
}

// hiddenItself reports whether a figure is stored that not everybody may see.
func hiddenItself(m *memory, key string) bool {
	codes, table := strings.Fields(key), m.table("own")
	at, _ := parsePeriod(codes[3])
	numbers := make([]uint32, 3)
	for i := range numbers {
		numbers[i], _ = table.dictionary.Find(i, codes[i])
	}
	track := table.find(numbers)
	return track.At(at.Index).Present() && track.At(at.Index).ConfStatus != FreeToShow
}

// free returns a figure that everybody may see.
func free(value float64) Cell {
	return Cell{Value: value, ObsStatus: NormalValue, ConfStatus: FreeToShow}
}

func TestKeysAreOfRecords(t *testing.T) {
	t.Parallel()
	m := memoryOf(trees(t))
	for codes, value := range map[string]float64{
		"N1 GE18": 4, "N2 GE18": 6, "N GE18": 10, // adds up
		"S1 GE18": 4, "S2 GE18": 6, "S GE18": 11, // does not
		"N1 LT18": 5, "S1 LT18": 0,
	} {
		first, second, _ := strings.Cut(codes, " ")
		m.put(t, "own", "2023-11", free(value), nil, "M", first, second)
	}
	m.put(t, "own", "2023", free(4), nil, "A", "N1", "GE18")
	s, _ := m.counter(t)
	found := counts(t, s, m.cellQuery("M", firstCodes, secondCodes))
	cell := func(codes string) keyedFigure {
		figure, there := found["M "+codes+" 2023-11"]
		if !there {
			t.Errorf("there is no %s among %v", codes, slices.Sorted(maps.Keys(found)))
		}
		return figure
	}
	if parts := cell("N1 GE18").key + cell("N2 GE18").key; cell("N GE18").key != parts {
		t.Error("a stored figure that its parts add up to has another key than they")
	}
	if parts := cell("S1 GE18").key + cell("S2 GE18").key; cell("S GE18").key == parts || cell("S GE18").value != 11 {
		t.Error("a stored figure that its parts do not add up to has their key")
	}
	if cell("_T GE18").key != cell("N GE18").key+cell("S GE18").key || cell("_T GE18").value != 21 {
		t.Error("a sum has another key than its parts")
	}
	if cell("S1 LT18").key != 0 || cell("_T LT18") != cell("N1 LT18") {
		t.Error("a sum of one figure, and nothing else, is not that figure")
	}
	if cell("N1 _T").key != cell("N1 GE18").key+cell("N1 LT18").key {
		t.Error("a sum over the other dimension has another key than its parts")
	}
	year := counts(t, s, m.cellQuery("A", []string{"N1"}, []string{"GE18"}))
	if year["A N1 GE18 2023"] != cell("N1 GE18") {
		t.Errorf("a year of one month, %+v, is not that month", year)
	}
}

func TestATotalOfSeveralKindsOfParts(t *testing.T) {
	t.Parallel()
	m := memoryOf(trees(t))
	for codes, value := range map[string]float64{
		"_T _T": 10, "N _T": 4, "S _T": 6, "_T LT18": 7, "_T GE18": 3, // both kinds add up
		"N1 _T": 4, "N2 _T": 0, "S1 _T": 5, // of S, not all
	} {
		first, second, _ := strings.Cut(codes, " ")
		m.put(t, "own", "2023-11", free(value), nil, "M", first, second)
	}
	s, _ := m.counter(t)
	found := counts(t, s, m.cellQuery("M", firstCodes, secondCodes))
	key := func(codes string) cellkey.Key { return found["M "+codes+" 2023-11"].key }
	if key("_T _T") != key("_T LT18")+key("_T GE18") {
		t.Error("the total has not the key of its parts by the dimension that is finer at last")
	}
	if key("N _T") != key("N1 _T") || key("N _T") == key("S _T") || key("S _T") == key("S1 _T") {
		t.Errorf("the keys are %v", found)
	}
}

func TestARevisionChangesTheCellsThatItTouches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := figuresOf(rt, FreeToShow)
		first, second := rapid.SampledFrom(firstCodes).Draw(rt, "D"), rapid.SampledFrom(secondCodes).Draw(rt, "E")
		m.put(rt, "own", "2023-11", free(2000), nil, "M", first, second) // unless there is one
		s, _ := m.counter(t)
		q := m.cellQuery("M", firstCodes, secondCodes)
		before := counts(t, s, q)
		table := m.table("own")
		numbers := []uint32{table.Code(0, "M"), table.Code(1, first), table.Code(2, second)}
		at, _ := parsePeriod("2023-11")
		revised := table.At(table.Series(numbers), at.Index)
		revised.Value++
		table.Set(table.Series(numbers), at.Index, revised)
		after := counts(t, s, q)
		for key, figure := range after {
			codes := strings.Fields(key)
			within := codes[3] == "2023-11" && slices.Contains(m.flow.Dimensions[1].Within(codes[1]), first) &&
				(slices.Contains(m.flow.Dimensions[2].Within(codes[2]), second) || m.flow.Dimensions[2].Covers(codes[2], second))
			if !within && figure != before[key] {
				rt.Fatalf("%s was %+v and is %+v, though %s %s was revised", key, before[key], figure, first, second)
			}
		}
		own := fmt.Sprintf("M %s %s 2023-11", first, second)
		if after[own].key == before[own].key {
			rt.Fatalf("the revised cell kept its key %d", after[own].key)
		}
	})
}

func TestKeysOfEvents(t *testing.T) {
	t.Parallel()
	m := memoryOf(trees(t))
	m.put(t, "own", "2023-11", free(3), nil, "M", "N1", "GE18")
	at, _ := parsePeriod("2023-11")
	counter := EventCell{Key: EventKey([]string{"M", "N1", "GE18"}), Period: at.Index, Count: 3, RecordKey: 1 << 31}
	q := m.cellQuery("M", []string{"_T"}, []string{"_T"})
	const cell = "M _T _T 2023-11"

	t.Run("it takes the sum of record keys", func(t *testing.T) {
		s, store := m.counter(t)
		store.counters = []EventCell{counter}
		if got := counts(t, s, q)[cell]; got.key != cellkey.FromCounter(1<<31) || store.closings != 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("it waits for a closing that has written the figure and not the counter", func(t *testing.T) {
		s, store := m.counter(t)
		behind := counter
		behind.Count = 2
		store.counters = []EventCell{behind}
		store.settle = func() { store.counters = []EventCell{counter} }
		if got := counts(t, s, q)[cell]; got.key != cellkey.FromCounter(1<<31) || store.closings != 1 {
			t.Errorf("got %+v after %d closings", got, store.closings)
		}
	})
	t.Run("it gives a figure that was corrected by hand a key of its own", func(t *testing.T) {
		s, store := m.counter(t)
		counted := counter
		counted.Count = 2
		store.counters = []EventCell{counted}
		plain, _ := m.counter(t)
		if got, want := counts(t, s, q)[cell], counts(t, plain, q)[cell]; got != want || store.closings != 1 {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("it answers nothing while the figures are older than the last closing", func(t *testing.T) {
		s, store := m.counter(t)
		store.last = 3 // of a state that has 2 revisions
		if _, err := s.CountCells(t.Context(), q, nil); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCountCellsRefuses(t *testing.T) {
	t.Parallel()
	m := memoryOf(trees(t))
	m.put(t, "own", "2023-11", free(1.5), nil, "M", "N1", "GE18")
	m.put(t, "own", "2023-12", free(-1), nil, "M", "N2", "GE18")
	m.put(t, "own", "2024-01", free(math.MaxFloat64), nil, "M", "N2", "GE18")
	s, _ := m.counter(t)
	good := func() CellQuery { return m.cellQuery("M", []string{"S"}, []string{"_T"}) }
	for name, test := range map[string]struct {
		change func(*CellQuery)
		kind   fault.Kind
	}{
		"fractions":                     {func(q *CellQuery) { q.Selections[1].Codes = []string{"N1"} }, fault.Precondition},
		"negative figures":              {func(q *CellQuery) { q.Selections[1].Codes, q.End = []string{"N2"}, "2023" }, fault.Precondition},
		"large figures":                 {func(q *CellQuery) { q.Selections[1].Codes, q.Start = []string{"N2"}, "2024" }, fault.Precondition},
		"a dimension that is not named": {func(q *CellQuery) { q.Selections = q.Selections[:2] }, fault.Invalid},
		"a level":                       {func(q *CellQuery) { q.Selections[1] = Selection{Dimension: "D", Level: "x"} }, fault.Invalid},
		"two frequencies":               {func(q *CellQuery) { q.Selections[0].Codes = []string{"M", "A"} }, fault.Invalid},
		"no frequency":                  {func(q *CellQuery) { q.Selections = q.Selections[1:] }, fault.Invalid},
		"a code that is none":           {func(q *CellQuery) { q.Selections[1].Codes = []string{"X"} }, fault.Invalid},
		"no start":                      {func(q *CellQuery) { q.Start = "" }, fault.Invalid},
		"a span without a whole period": {func(q *CellQuery) { q.Start, q.End = "2023-01-02", "2023-01-30" }, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			q := good()
			test.change(&q)
			if _, err := s.CountCells(t.Context(), q, nil); !fault.Is(err, test.kind) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := counts(t, s, good()); len(got) != 0 {
		t.Errorf("what nothing is stored of gives %v", got)
	}
	if _, err := m.service().CountCells(t.Context(), good(), nil); !fault.Is(err, fault.Precondition) {
		t.Errorf("without a secret: %v", err)
	}
	if err := s.KeyCellsBy(t.Context(), []byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
	if err := s.KeyCellsBy(t.Context(), bytes.Repeat([]byte{8}, 32)); !fault.Is(err, fault.Precondition) {
		t.Errorf("another secret is taken: %v", err)
	}
}
