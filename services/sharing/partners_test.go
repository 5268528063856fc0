package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// Two partners of one tier get other details of the same figures, and show each other what they have.
func TestPartnersWhoPool(t *testing.T) {
	t.Parallel()
	const least = 12
	w := newWorld(t, "cc")
	random := rand.New(rand.NewPCG(6, 1))
	revise := func(share float64) {
		for _, month := range monthsTold[:2] {
			for _, section := range []string{"NORTH", "SOUTH", "EAST"} {
				for _, citizenship := range []string{"SYR", "AFG", "IRQ"} {
					if random.Float64() < share {
						cell := fmt.Sprintf("M,AA,1A,%s,%s,_T,%s", section, citizenship, month)
						w.aa.figures.set(cell, w.aa.figures.own[cell]+[]float64{0, 1, 2, 4, 9, 20, 50}[random.IntN(7)])
					}
				}
			}
		}
	}
	revise(1)
	first, second := w.terms(), w.terms()
	first.MinimumFrequency, second.MinimumFrequency = least, least
	delete(first.Detail, "CITIZENSHIP")
	w.agree(t, first)
	second.ID, second.Receiver = "aa-cc-1a", "cc"
	delete(second.Detail, "SECTION")
	other := w.beside(w.others[0])
	other.agree(t, second)

	pool := disclosuretest.NewOnlooker()
	see := func() {
		t.Helper()
		for _, received := range []map[string]float64{w.bb.figures.received, other.bb.figures.received} {
			if err := w.aa.figures.tell(pool, received); err != nil {
				t.Fatal(err)
			}
		}
		w.aa.figures.hindsight(pool, w.aa.figures.own)
	}
	shown := 0
	for range 4 {
		// Who gets it first is not always the same, nor does either get each revision.
		order := []*world{w, other}
		if random.IntN(2) == 0 {
			order = []*world{other, w}
		}
		for _, world := range order {
			world.run(t)
			other.run(t)
			w.run(t)
			see()
		}
		revise(0.1)
	}
	for _, partner := range []*world{w, other} {
		for _, value := range partner.bb.figures.received {
			if !math.IsNaN(value) {
				shown++
			}
		}
	}
	known, err := pool.Withheld(1, least-1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.Width() < 3 {
			t.Errorf("they know that %s lies between %v and %v", k.Cell, k.Low, k.High)
		}
	}
	if shown == 0 || len(known) == 0 {
		t.Errorf("%d figures are shown, %d withheld", shown, len(known))
	}
}

func TestRestartBetweenDraftAndWrite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	releases := func() int {
		t.Helper()
		list, _, err := w.aa.Releases(ctx, sharing.Page{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	told := func() int64 {
		t.Helper()
		next, err := w.aa.Store.Seen(string(sharing.Partners)).Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return int64(next)
	}
	before, known := releases(), told()
	w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-01", 90)

	// The process ends while it waits for the last answer.
	ctxOf, kill := context.WithCancel(ctx)
	asked := 0
	w.aa.figures.asked = func() {
		if asked++; asked == 2 {
			kill()
		}
	}
	if err := w.aa.Steps()[0](ctxOf); !errors.Is(err, context.Canceled) {
		t.Fatalf("it was not ended: %v", err)
	}
	w.aa.figures.asked = nil
	if releases() != before || told() != known {
		t.Errorf("%d releases after %d, the ledger ends at %d after %d", releases(), before, told(), known)
	}
	w.aa.Service = sharing.New(w.aa.Config)
	w.run(t)
	after := told()
	if got := w.bb.figures.received["M,AA,1A,_T,_T,_T,2023-01"]; releases() != before+1 || got != 170 {
		t.Errorf("%d releases after %d, and %v in all", releases(), before, got)
	}
	w.aa.Service = sharing.New(w.aa.Config)
	w.run(t)
	if releases() != before+1 || told() != after {
		t.Errorf("%d releases, the ledger ends at %d, not %d", releases(), told(), after)
	}
}

func TestTableThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for key, value := range map[string]float64{"NORTH,SYR": 20, "NORTH,AFG": 0, "SOUTH,SYR": 1, "SOUTH,AFG": 50} {
		w.aa.figures.set("M,AA,1A,"+key+",_T,2023-01", value)
		w.aa.figures.set("M,AA,1A,"+key+",_T,2023-02", 30+value)
	}
	terms := w.terms()
	terms.MinimumFrequency = 12
	w.agree(t, terms)
	shown := func(month string) int {
		shown := 0
		for key, value := range w.bb.figures.received {
			if strings.HasSuffix(key, month) && !math.IsNaN(value) {
				shown++
			}
		}
		return shown
	}
	if shown("2023-01") == 0 {
		t.Fatal("nothing goes")
	}
	received := maps.Clone(w.bb.figures.received)
	// All that is left of the one figure and of the other is what the total has more.
	w.aa.figures.remove("M,AA,1A,NORTH,SYR,_T,2023-01")
	w.run(t)
	t.Run("goes without its total, beside those that can go", func(t *testing.T) {
		total, ok := w.bb.figures.received["M,AA,1A,_T,_T,_T,2023-01"]
		if !ok || !math.IsNaN(total) || shown("2023-01") != 0 || shown("2023-02") != 9 {
			t.Errorf("%v", w.bb.figures.received)
		}
		if _, stays := w.bb.figures.received["M,AA,1A,NORTH,SYR,_T,2023-01"]; stays {
			t.Error("the receiver still has a figure that is gone")
		}
	})
	w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 45)
	w.aa.figures.set("M,AA,1A,SOUTH,SYR,_T,2023-01", 16)
	w.run(t)
	t.Run("goes once it can", func(t *testing.T) {
		if shown("2023-01") < len(received)/4 {
			t.Errorf("%v", w.bb.figures.received)
		}
	})
}

func TestToldAllTheTime(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {
		Allow: true, Detail: map[string]string{"FREQ": "M"}, Obligations: sharing.Obligations{MinimumFrequency: 3},
	}}
	value, asked := 100.0, 0
	w.aa.figures.asked = func() {
		if asked++; asked%2 == 0 {
			return // once for each time that the tables are made is enough
		}
		value++
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-01", value)
		if _, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}}); err != nil {
			t.Error(err)
		}
	}
	if err := w.aa.Steps()[0](ctx); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a release while more and more is published: %v", err)
	}
	w.aa.figures.asked = nil
	w.run(t)
	if got := w.bb.figures.received["M,AA,1A,_T,_T,_T,2023-01"]; got != value+80 {
		t.Errorf("the next run sends %v, not %v", got, value+80)
	}
}
