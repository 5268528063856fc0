package cellkey_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// cellsOf returns different cells from the first up to the last number.
func cellsOf(first, last int) []cellkey.Address {
	var cells []cellkey.Address
	for i := first; i <= last; i++ {
		cells = append(cells, cellkey.AddressOf("AA:FLOW(1.0.0)", [][]string{{strconv.Itoa(i)}}, []string{"2024-01"}))
	}
	return cells
}

func TestAddressesAreOfWhatIsAskedFor(t *testing.T) {
	address := func(codes ...[]string) cellkey.Address {
		return cellkey.AddressOf("AA:FLOW(1.0.0)", codes, []string{"2024-01", "2024-02"})
	}
	codes := []string{"B", "A", "B"}
	if address(codes, []string{"C"}) != address([]string{"A", "B"}, []string{"C", "C"}) {
		t.Error("the order of codes, or how often they are named, matters")
	}
	if !slices.Equal(codes, []string{"B", "A", "B"}) {
		t.Error("codes are changed")
	}
	for i, other := range []cellkey.Address{
		address([]string{"A"}, []string{"C"}),
		address([]string{"A", "B", "C"}),
		address([]string{"A", "B"}, []string{"C"}, nil),
		address([]string{"C"}, []string{"A", "B"}),
		cellkey.AddressOf("AA:FLOW(1.0.1)", [][]string{{"A", "B"}, {"C"}}, []string{"2024-01", "2024-02"}),
		cellkey.AddressOf("AA:FLOW(1.0.0)", [][]string{{"A", "B"}, {"C"}}, []string{"2024-01"}),
	} {
		if other == address([]string{"A", "B"}, []string{"C"}) {
			t.Errorf("other cell %d has the same address", i)
		}
	}
}

func TestCellsThatACallerWasToldCostNothing(t *testing.T) {
	budget := cellkey.Budget{Window: 24 * time.Hour, Capacity: 10}
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var account cellkey.Account
	charge := func(after time.Duration, cells []cellkey.Address) error {
		return account.Charge(budget, start.Add(after), cells)
	}
	left := func(after time.Duration, want int) {
		t.Helper()
		if got := account.Left(budget, start.Add(after)); got != want {
			t.Errorf("%d left, want %d", got, want)
		}
	}
	left(0, 10)
	if err := charge(0, cellsOf(1, 6)); err != nil {
		t.Fatal(err)
	}
	left(0, 4)
	again := append(cellsOf(3, 6), cellsOf(1, 2)...)
	if err := charge(time.Hour, append(again, again...)); err != nil {
		t.Error(err)
	}
	left(time.Hour, 4)
	if err := charge(2*time.Hour, append(cellsOf(5, 9), cellsOf(5, 9)...)); err != nil {
		t.Error(err)
	}
	left(2*time.Hour, 1)

	err := charge(3*time.Hour, cellsOf(9, 12))
	var refusal *fault.Error
	if !errors.As(err, &refusal) || refusal.Kind != fault.Exhausted || refusal.Metadata["left"] != "1" || refusal.Metadata["retryAt"] != "2024-01-02T00:00:00Z" {
		t.Errorf("%v %v", err, refusal)
	}
	left(3*time.Hour, 1) // a refusal costs nothing
	if err := charge(24*time.Hour, cellsOf(9, 12)); err != nil {
		t.Error(err)
	}
	left(24*time.Hour, 4) // cells 1 to 6 are over, 7 to 9 of the third hour and 10 to 12 are not
	left(26*time.Hour, 7)
	left(25*time.Hour, 7) // a clock that goes back changes nothing
	if err := charge(24*time.Hour, cellsOf(100, 110)); !errors.As(err, &refusal) || refusal.Metadata["retryAt"] != "" {
		t.Errorf("%v: what is more than the whole budget never comes", err)
	}
	left(100*time.Hour, 10)
}

func TestABudgetWithoutWindowIsSpentOnce(t *testing.T) {
	budget := cellkey.Budget{Capacity: 3}
	var account cellkey.Account
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := account.Charge(budget, start, cellsOf(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := account.Charge(budget, start.AddDate(100, 0, 0), cellsOf(1, 4)); !fault.Is(err, fault.Exhausted) {
		t.Error(err)
	}
	if err := account.Charge(budget, start.AddDate(100, 0, 0), cellsOf(1, 3)); err != nil {
		t.Error(err)
	}
}

// Against a model that remembers everything.
func TestNoMoreCellsThanTheCapacityAreToldInAnyWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := cellkey.Budget{Window: time.Duration(rapid.IntRange(1, 20).Draw(t, "window")), Capacity: rapid.IntRange(0, 12).Draw(t, "capacity")}
		var account cellkey.Account
		at := map[cellkey.Address]time.Time{}
		now := time.Unix(0, 0)
		for range rapid.IntRange(1, 30).Draw(t, "questions") {
			now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "later")))
			first := rapid.IntRange(0, 20).Draw(t, "first")
			cells := cellsOf(first, first+rapid.IntRange(0, 6).Draw(t, "more"))
			held, fresh := 0, 0
			for _, told := range at {
				if now.Sub(told) < budget.Window {
					held++
				}
			}
			for _, cell := range cells {
				if told, ok := at[cell]; !ok || now.Sub(told) >= budget.Window {
					fresh++
				}
			}
			err := account.Charge(budget, now, cells)
			if allowed := fresh == 0 || held+fresh <= budget.Capacity; allowed != (err == nil) {
				t.Fatalf("%d held, %d more, of %d: %v", held, fresh, budget.Capacity, err)
			}
			if err == nil {
				for _, cell := range cells {
					if told, ok := at[cell]; !ok || now.Sub(told) >= budget.Window {
						at[cell] = now
					}
				}
				held += fresh
			}
			if left := account.Left(budget, now); left != budget.Capacity-held {
				t.Fatalf("%d left, want %d", left, budget.Capacity-held)
			}
		}
	})
}

// An attacker who parts a cell in two, again and again, and averages the sums of the parts.
func TestRecoveryIsWhatAnAveragingAttackComesTo(t *testing.T) {
	noise := table(t, cellkey.Parameters{Maximum: 5, Variance: 2})
	random := rand.New(rand.NewPCG(1, 2))
	const population, trials = 60, 2000
	for _, cells := range []int{20, 100, 200} {
		right := 0
		for range trials {
			records := make([]cellkey.Key, population)
			for i := range records {
				records[i] = cellkey.Key(random.Uint64())
			}
			sum := 0.0
			for range cells / 2 {
				var parts [2]cell
				for _, key := range records {
					part := &parts[random.IntN(2)]
					part.count++
					part.key += key
				}
				sum += float64(noise.Perturb(parts[0].count, parts[0].key) + noise.Perturb(parts[1].count, parts[1].key))
			}
			if math.Round(sum/float64(cells/2)) == population {
				right++
			}
		}
		got, want := float64(right)/trials, noise.Recovery(cells)
		if math.Abs(got-want) > 0.04 {
			t.Errorf("%d cells tell the count in %v of all trials, want %v", cells, got, want)
		}
	}
	if noise.Recovery(-1) != 0 || noise.Recovery(0) != 0 || noise.Recovery(1<<40) != 1 {
		t.Error("no cells tell nothing, and all of them all")
	}
}
