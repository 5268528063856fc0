package sharing_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
	"github.com/comity-federation/comity/services/sharing"
)

// nesting is what of nested areas and indicators is told to whom.
type nesting struct {
	areas           []string
	sent, published []string // indicators, by months
	years           bool     // what is published is so by years
	vanishing       bool     // some figures are deleted, and some of these come back
	seed            uint64   // one that has told how something leaks
}

// Who is told of a whole and of its parts can subtract them from each other.
func TestNestedAreasAndIndicators(t *testing.T) {
	t.Parallel()
	var seeds []uint64
	if os.Getenv("COMITY_LONG") != "" {
		for seed := range uint64(20) {
			seeds = append(seeds, 100+seed)
		}
	}
	parts, all, five := []string{"AA1"}, []string{"AA", "AA1", "AA2"}, []string{"5A", "5B"}
	cases := map[string]nesting{
		"areas":                      {areas: all, sent: five[:1], published: five[:1], seed: 1},
		"areas, the whole last":      {areas: []string{"AA1", "AA2", "AA"}, sent: five[:1], seed: 1},
		"indicators":                 {areas: parts, sent: five, published: []string{"5"}, seed: 1},
		"indicators, the whole last": {areas: parts, sent: []string{"5A", "5B", "5"}, seed: 1},
		"areas and indicators":       {areas: all, sent: five, published: []string{"5"}, seed: 1},
		"vanishing figures":          {areas: parts, sent: five[:1], published: five[:1], vanishing: true, seed: 9},
		"vanishing figures by years": {areas: parts, sent: five[:1], published: five[:1], years: true, vanishing: true, seed: 9},
		"vanishing figures of areas": {areas: all, sent: five[:1], published: five[:1], vanishing: true, seed: 9},
	}
	if os.Getenv("COMITY_LONG") != "" {
		cases["areas and indicators by years"] = nesting{areas: all, sent: five, published: []string{"5"}, years: true, seed: 1}
	}
	for name, told := range cases {
		for _, seed := range append([]uint64{told.seed}, seeds...) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				t.Parallel()
				told.tell(t, seed)
			})
		}
	}
}

// tell releases some indicators and publishes others, with no count below the least, and looks at what can be computed.
func (n nesting) tell(t *testing.T, seed uint64) {
	const least = 12
	w := newWorld(t)
	w.aa.Trust.List().States[0].RefAreas = n.areas
	w.aa.rules.published = map[string]sharing.Ruling{}
	often := "M"
	if n.years {
		often = "A"
	}
	for _, code := range n.published {
		w.aa.rules.published[code] = sharing.Ruling{
			Allow: true, Detail: map[string]string{"FREQ": often, "CITIZENSHIP": "country"},
			Obligations: sharing.Obligations{MinimumFrequency: least},
		}
	}
	random := rand.New(rand.NewPCG(5, seed))
	figure := func() float64 { return []float64{0, 1, 2, 3, 6, 9, 20, 50}[random.IntN(8)] }
	counts := map[string]float64{} // with those that are deleted
	revise := func(share float64) {
		for _, month := range []string{"2023-01", "2023-02"} {
			for _, area := range []string{"AA", "AA1", "AA2"} {
				for _, code := range []string{"5A", "5B"} {
					for _, section := range []string{"NORTH", "SOUTH"} {
						for _, citizenship := range []string{"SYR", "AFG"} {
							// Little is of an area, but of none of its parts.
							if random.Float64() < share && (area != "AA" || random.IntN(4) == 0) {
								cell := fmt.Sprintf("M,%s,%s,%s,%s,_T,%s", area, code, section, citizenship, month)
								if n.vanishing && share < 1 && random.IntN(2) == 0 {
									w.aa.figures.remove(cell)
									continue
								}
								counts[cell] += figure()
								w.aa.figures.set(cell, counts[cell])
							}
						}
					}
				}
			}
		}
	}
	revise(1)
	terms := w.terms()
	terms.Indicators, terms.MinimumFrequency = n.sent, least
	w.agree(t, terms)
	partner, public := disclosuretest.NewOnlooker(), disclosuretest.NewOnlooker()
	see := func(o *disclosuretest.Onlooker, received map[string]float64) {
		t.Helper()
		if err := w.aa.figures.tellNested(o, received); err != nil {
			t.Fatal(err)
		}
	}
	see(partner, w.bb.figures.received)
	shown := 0
	for round := range 4 {
		if round > 0 {
			revise(0.1)
		}
		publish := func() {
			if len(n.published) == 0 {
				return
			}
			if _, err := w.aa.Publish(t.Context(), sharing.PublicationRequest{Indicators: n.published}); err != nil {
				t.Fatal(err)
			}
			see(partner, w.aa.figures.received)
			see(public, w.aa.figures.received)
		}
		release := func() {
			w.run(t)
			see(partner, w.bb.figures.received)
		}
		steps := []func(){publish, release}
		if round%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps[:1+random.IntN(2)] {
			step()
		}
		for _, value := range w.bb.figures.received {
			if !math.IsNaN(value) {
				shown++
			}
		}
	}
	withheld := 0
	for name, reader := range map[string]*disclosuretest.Onlooker{"the partner": partner, "the public": public} {
		known, err := reader.Withheld(1, least-1, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		withheld += len(known)
		for _, k := range known {
			if k.Width() < 3 {
				t.Errorf("%s knows that %s lies between %v and %v", name, k.Cell, k.Low, k.High)
			}
		}
	}
	if shown == 0 || withheld == 0 {
		t.Errorf("%d figures are shown, %d withheld", shown, withheld)
	}
}

// nestedParts are the parts of the codes of area, indicator, section and citizenship.
var nestedParts = []map[string][]string{
	{"AA": {"AA1", "AA2"}}, {"5": {"5A", "5B"}}, {"_T": {"NORTH", "SOUTH", "_O"}}, {"_T": {"SYR", "AFG", "_O"}},
}

// tellNested shows an onlooker what somebody received, beside the truth, and whatever else of it adds up with what went
// before.
func (f *figures) tellNested(o *disclosuretest.Onlooker, received map[string]float64) error {
	rows := map[string][]disclosuretest.Row{}
	for key, value := range received {
		codes := strings.Split(key, ",")
		cell := slices.Concat(codes[1:5], codes[6:])
		truth, _ := f.amount(cell)
		rows[codes[6]] = append(rows[codes[6]], disclosuretest.Row{Key: codes[1:5], Value: value, Truth: truth})
	}
	for _, period := range slices.Sorted(maps.Keys(rows)) {
		if err := o.See(period, nestedParts, rows[period]); err != nil {
			return err
		}
	}
	equate := func(cell []string, d int, codes []string) {
		whole, _ := f.amount(cell)
		parts := map[string]int64{}
		for _, code := range codes {
			part := slices.Clone(cell)
			part[d] = code
			if truth, stored := f.amount(part); stored {
				parts[nestedName(part)] = truth
			}
		}
		if len(parts) > 0 {
			o.Equate(nestedName(cell), whole, parts)
		}
	}
	for _, area := range []string{"AA", "AA1", "AA2"} {
		for _, code := range []string{"5", "5A", "5B"} {
			for _, section := range []string{"_T", "NORTH", "SOUTH"} {
				for _, citizenship := range []string{"_T", "SYR", "AFG"} {
					for _, period := range []string{"2023", "2023-01", "2023-02"} {
						cell := []string{area, code, section, citizenship, period}
						for d, parts := range nestedParts {
							equate(cell, d, parts[cell[d]])
						}
						if period == "2023" {
							equate(cell, 4, []string{"2023-01", "2023-02"})
						}
					}
				}
			}
		}
	}
	return nil
}

func nestedName(cell []string) string { return cell[4] + " " + strings.Join(cell[:4], ".") }

// amount returns what a cell of area, indicator, section, citizenship and period counts, and whether anything of it is stored.
func (f *figures) amount(cell []string) (sum int64, stored bool) {
	places := []int{1, 2, 3, 4}
	dimensions := structures().Dimensions
	for key, value := range f.own {
		codes := strings.Split(key, ",")
		inside := strings.HasPrefix(codes[6], cell[4])
		for d, place := range places {
			inside = inside && within(dimensions[place], codes[place], cell[d])
		}
		if inside {
			sum, stored = sum+int64(value), true
		}
	}
	return sum, stored
}
