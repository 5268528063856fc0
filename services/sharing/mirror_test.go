package sharing_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
	"github.com/comity-federation/comity/services/sharing"
)

// newMirrorWorld is a world in which what aa counts as 1A of SYR, bb counts as 5 of IRQ. Bb sent the rows.
func newMirrorWorld(t *testing.T, rows ...string) *world {
	t.Helper()
	w := newWorld(t)
	w.aa.figures.mirror = &sharing.Mirror{
		Area: "REF_AREA", Flow: "INDICATOR", Counterpart: "CITIZENSHIP",
		Flows: map[string]string{"1A": "5", "5": "1A"}, Areas: map[string]string{"SYR": "BB", "IRQ": "AA"},
	}
	w.aa.figures.partners = map[sharing.StateCode]map[string]float64{"bb": {}}
	for _, row := range rows {
		w.aa.figures.partners["bb"][row] = 1000 // what bb counted need not be what aa did
	}
	return w
}

// byCitizenship agrees on a table of one dimension.
func (w *world) byCitizenship(t *testing.T) {
	t.Helper()
	terms := w.terms()
	delete(terms.Detail, "SECTION")
	w.agree(t, terms)
}

// count sets what aa counted in a month.
func (w *world) count(month string, syr, afg, irq float64) {
	for citizenship, value := range map[string]float64{"SYR": syr, "AFG": afg, "IRQ": irq} {
		w.aa.figures.set(fmt.Sprintf("M,AA,1A,NORTH,%s,_T,%s", citizenship, month), value)
	}
}

// withheld returns the citizenships that bb got no value of in a month.
func (w *world) withheld(month string) string {
	var without []string
	for key, value := range w.bb.figures.received {
		if codes := strings.Split(key, ","); math.IsNaN(value) && codes[6] == month {
			without = append(without, codes[4])
		}
	}
	slices.Sort(without)
	return strings.Join(without, " ")
}

// unknowns returns how much the ledgers hold.
func (s *state) unknowns(t *testing.T) (unknowns, releases int) {
	t.Helper()
	err := s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM ledger_unknown), (SELECT count(*) FROM ledger_release)`).Scan(&unknowns, &releases)
	if err != nil {
		t.Fatal(err)
	}
	return unknowns, releases
}

func TestMirror(t *testing.T) {
	t.Parallel()
	const month = "M,BB,5,NORTH,IRQ,_T,2023-01"
	for _, c := range []struct {
		name          string
		rows          []string
		syr, afg, irq float64
		want          string
	}{
		{"withholds the smallest other cell where nobody counted it", nil, 5, 2, 7, "AFG SYR"},
		{"protects a cell by none that the partner counted itself", []string{month}, 5, 2, 7, "AFG IRQ"},
		{"knows that who counts days counts the month", []string{"D,BB,5,NORTH,IRQ,_T,2023-01-03"}, 5, 2, 7, "AFG IRQ"},
		{"sees that another flow is no mirror", []string{"M,BB,1A,NORTH,IRQ,_T,2023-01"}, 5, 2, 7, "AFG SYR"},
		{"sees that another corridor is no mirror", []string{"M,BB,5,NORTH,AFG,_T,2023-01"}, 5, 2, 7, "AFG SYR"},
		{"knows that who counts women and men counts all", []string{"M,BB,5,NORTH,IRQ,F,2023-01", "M,BB,5,NORTH,IRQ,M,2023-01"}, 5, 2, 7, "AFG IRQ"},
		{"sees that who counts elsewhere does not count here", []string{"M,BB,5,EAST,IRQ,_T,2023-01"}, 5, 2, 7, "AFG SYR"},
		{"sees that another month is no mirror", []string{"M,BB,5,NORTH,IRQ,_T,2023-02"}, 5, 2, 7, "AFG SYR"},
		{"withholds what the partner counted itself, from the others", []string{month}, 2, 5, 7, "AFG SYR"},
	} {
		t.Run("it "+c.name, func(t *testing.T) {
			t.Parallel()
			w := newMirrorWorld(t, c.rows...)
			w.count("2023-01", c.syr, c.afg, c.irq)
			w.byCitizenship(t)
			if got := w.withheld("2023-01"); got != c.want {
				t.Errorf("%q is withheld, not %q", got, c.want)
			}
			// The same once more, beside another month.
			w.count("2023-02", 50, 60, 70)
			w.run(t)
			if got := w.withheld("2023-01") + w.withheld("2023-02"); got != c.want {
				t.Errorf("%q is withheld then, not %q", got, c.want)
			}
			unknowns, releases := w.aa.unknowns(t)
			w.aa.figures.set("M,AA,5,NORTH,SYR,_T,2023-01", 1) // that nobody gets
			w.run(t)
			if u, r := w.aa.unknowns(t); u != unknowns || r != releases {
				t.Errorf("the ledgers grew from %d unknowns of %d releases to %d of %d", unknowns, releases, u, r)
			}
		})
	}
	t.Run("it takes what is withheld for counted, and what is missing not", func(t *testing.T) {
		t.Parallel()
		for conf, want := range map[string]string{"": "AFG SYR", "C": "AFG IRQ"} {
			w := newMirrorWorld(t, month)
			w.aa.figures.partners["bb"][month] = math.NaN()
			w.aa.figures.conf[month] = conf
			w.count("2023-01", 5, 2, 7)
			w.byCitizenship(t)
			if got := w.withheld("2023-01"); got != want {
				t.Errorf("CONF_STATUS %q: %q is withheld, not %q", conf, got, want)
			}
		}
	})
	t.Run("it waits until it knows what partners counted", func(t *testing.T) {
		t.Parallel()
		w := newMirrorWorld(t, month)
		w.count("2023-01", 5, 2, 7)
		w.aa.figures.lost = errors.New("not there")
		terms := w.terms()
		must(t)(w.aa.Draft(t.Context(), terms))
		must(t)(w.aa.Sign(t.Context(), terms.ID))
		w.run(t)
		must(t)(w.bb.Sign(t.Context(), terms.ID))
		if err := w.bb.Steps()[3](t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.aa.Steps()[0](t.Context()); !errors.Is(err, w.aa.figures.lost) {
			t.Errorf("%v", err)
		}
		if releases, _, err := w.aa.Releases(t.Context(), sharing.Page{Limit: 10}); err != nil || len(releases) > 0 {
			t.Errorf("%d releases, %v", len(releases), err)
		}
		w.aa.figures.lost = nil
		w.run(t)
		if w.bb.figures.count() == 0 {
			t.Error("nothing came")
		}
	})
	t.Run("it lets a release go that what the partner counted later tells about", func(t *testing.T) {
		t.Parallel()
		w := newMirrorWorld(t)
		w.count("2023-01", 5, 2, 7)
		w.byCitizenship(t)
		w.aa.figures.partners["bb"][month] = 5
		w.count("2023-02", 50, 60, 70)
		w.run(t)
		if got := w.withheld("2023-01"); got != "AFG SYR" || len(w.bb.figures.received) != 8 {
			t.Errorf("%q is withheld of %d figures", got, len(w.bb.figures.received))
		}
		var exposed int
		if err := w.aa.pool.QueryRow(t.Context(), `SELECT count(*) FROM ledger_unknown WHERE exposed`).Scan(&exposed); err != nil || exposed != 1 {
			t.Errorf("%d cells are exposed, %v", exposed, err)
		}
	})
}

// A partner puts what it received and read beside what it counted itself, month by month or for the year.
func TestReleasesBesideMirrors(t *testing.T) {
	t.Parallel()
	for name, counted := range map[string]func(section, month string) string{
		"months": func(section, month string) string { return "M,BB,5," + section + ",IRQ,_T," + month },
		"years":  func(section, _ string) string { return "A,BB,5," + section + ",IRQ,_T,2023" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				besideMirrors(t, seed, counted)
			}
		})
	}
}

// besideMirrors releases and publishes, with no count below the least, what bb has counted some of.
func besideMirrors(t *testing.T, seed uint64, counted func(section, month string) string) {
	t.Helper()
	const least = 12
	w := newMirrorWorld(t)
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {
		Allow: true, Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Obligations: sharing.Obligations{MinimumFrequency: least},
	}}
	random := rand.New(rand.NewPCG(seed, 7))
	figure := func() float64 { return []float64{0, 1, 2, 4, 9, 14, 20, 30, 50, 80}[random.IntN(10)] }
	known := map[string]bool{} // cells of aa that bb knows
	for _, month := range monthsTold {
		for _, section := range []string{"NORTH", "SOUTH", "EAST"} {
			for _, citizenship := range []string{"SYR", "AFG", "IRQ"} {
				w.aa.figures.set(fmt.Sprintf("M,AA,1A,%s,%s,_T,%s", section, citizenship, month), figure())
			}
			if section != "EAST" {
				row := counted(section, month)
				w.aa.figures.partners["bb"][row] = 1
				codes := strings.Split(row, ",")
				known[strings.Join([]string{codes[0], "AA", "1A", section, "SYR", "_T", codes[6]}, ",")] = true
			}
		}
	}
	terms := w.terms()
	terms.MinimumFrequency = least
	w.agree(t, terms)
	partner := disclosuretest.NewOnlooker()
	see := func(received map[string]float64) {
		t.Helper()
		all := maps.Clone(received)
		for key := range known {
			if _, came := received[key]; !came && strings.HasPrefix(key, "M") {
				continue // what the rest of a total counts that goes without its parts is no cell
			}
			all[key] = float64(w.aa.figures.truth(strings.Split(key, ",")))
		}
		if err := w.aa.figures.tell(partner, all); err != nil {
			t.Fatal(err)
		}
	}
	see(w.bb.figures.received)
	for range 2 {
		must(t)(w.aa.Publish(t.Context(), sharing.PublicationRequest{Indicators: []string{"1A"}}))
		see(w.aa.figures.received)
		for _, month := range monthsTold[:2] {
			key := "M,AA,1A,EAST,AFG,_T," + month
			w.aa.figures.set(key, w.aa.figures.own[key]+figure())
		}
		w.run(t)
		see(w.bb.figures.received)
	}
	shown := 0
	for _, value := range w.bb.figures.received {
		if !math.IsNaN(value) {
			shown++
		}
	}
	withheld, err := partner.Withheld(1, least-1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d figures went, %d small ones are withheld", shown, len(w.bb.figures.received), len(withheld))
	if shown == 0 || len(withheld) == 0 {
		t.Error("nothing is tried")
	}
	for _, k := range withheld {
		if k.Width() < 3 {
			t.Errorf("bb knows that %s lies between %v and %v", k.Cell, k.Low, k.High)
		}
	}
}
