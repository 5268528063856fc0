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

// A partner reads what is published beside what it was sent, and remembers both.
func TestReleasesAndPublicationsTogether(t *testing.T) {
	t.Parallel()
	seeds := []uint64{2, 16, 350} // each of which has told how something leaks
	if os.Getenv("COMITY_LONG") != "" {
		for seed := range uint64(200) {
			seeds = append(seeds, 100+seed)
		}
	}
	for name, frequencies := range map[string][2]string{
		"months beside months": {"M", "M"}, "years beside months": {"M", "A"}, "months beside years": {"A", "M"},
	} {
		for _, seed := range seeds {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				t.Parallel()
				together(t, frequencies[0], frequencies[1], seed)
			})
		}
	}
}

// monthsTold are the months that there are figures of.
var monthsTold = []string{"2023-01", "2023-02", "2023-03", "2023-04"}

// together releases at one frequency and publishes at another, both no count below the least. In hindsight the onlookers know
// which figures each revision that they were told of left as they were, also of those that they were told later.
func together(t *testing.T, sent, published string, seed uint64) {
	const least = 12
	ctx := t.Context()
	w := newWorld(t)
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {
		Allow: true, Detail: map[string]string{"FREQ": published, "CITIZENSHIP": "country"},
		Obligations: sharing.Obligations{MinimumFrequency: least},
	}}
	random := rand.New(rand.NewPCG(4, seed))
	figure := func() float64 { return []float64{0, 1, 1, 2, 2, 3, 4, 6, 9, 20, 50}[random.IntN(11)] }
	// Figures grow: the onlookers take a figure for the same as one before it where it counts the same.
	revise := func(share float64) {
		for _, month := range monthsTold {
			for _, section := range []string{"NORTH", "SOUTH", "EAST"} {
				for _, citizenship := range []string{"SYR", "AFG", "IRQ"} {
					if random.Float64() < share {
						cell := fmt.Sprintf("M,AA,1A,%s,%s,_T,%s", section, citizenship, month)
						w.aa.figures.set(cell, w.aa.figures.own[cell]+figure())
					}
				}
			}
		}
	}
	revise(1)
	terms := w.terms()
	terms.Detail["FREQ"], terms.MinimumFrequency = sent, least
	w.agree(t, terms)
	partner, public := disclosuretest.NewOnlooker(), disclosuretest.NewOnlooker()
	see := func(o *disclosuretest.Onlooker, received map[string]float64) {
		t.Helper()
		if err := w.aa.figures.tell(o, received); err != nil {
			t.Fatal(err)
		}
	}
	see(partner, w.bb.figures.received)
	shown, withheld := 0, 0
	var told, publicly []map[string]float64 // the figures when the partner, and when the public was told anything
	for round := range 6 {
		if round > 0 {
			revise(0.1)
		}
		told = append(told, maps.Clone(w.aa.figures.own))
		publish := func() {
			if _, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}}); err != nil {
				t.Fatal(err)
			}
			see(partner, w.aa.figures.received)
			see(public, w.aa.figures.received)
			publicly = append(publicly, told[round])
			for _, value := range w.aa.figures.received {
				if !math.IsNaN(value) {
					shown++
				}
			}
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
	}
	for _, own := range told {
		w.aa.figures.hindsight(partner, own)
	}
	for _, own := range publicly {
		w.aa.figures.hindsight(public, own)
	}
	for _, reader := range []struct {
		name string
		*disclosuretest.Onlooker
	}{{"the partner", partner}, {"the public", public}} {
		known, err := reader.Withheld(1, least-1, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		withheld += len(known)
		for _, k := range known {
			if k.Width() < 3 {
				t.Errorf("%s knows that %s lies between %v and %v", reader.name, k.Cell, k.Low, k.High)
			}
		}
	}
	if shown == 0 || withheld == 0 {
		t.Errorf("%d figures were published, %d are withheld", shown, withheld)
	}
}

// tell shows an onlooker what somebody received, beside the truth.
func (f *figures) tell(o *disclosuretest.Onlooker, received map[string]float64) error {
	parts := []map[string][]string{{"_T": {"NORTH", "SOUTH", "EAST", "_O"}}, {"_T": {"SYR", "AFG", "IRQ", "_O"}}}
	rows := map[string][]disclosuretest.Row{}
	for key, value := range received {
		codes := strings.Split(key, ",")
		truth := f.truth(codes)
		rows[codes[6]] = append(rows[codes[6]], disclosuretest.Row{Key: codes[3:5], Value: value, Truth: truth})
	}
	for _, period := range slices.Sorted(maps.Keys(rows)) {
		if err := o.See(period, parts, rows[period]); err != nil {
			return err
		}
	}
	return nil
}

// hindsight tells an onlooker which figures were the sums of others at one time.
func (f *figures) hindsight(o *disclosuretest.Onlooker, own map[string]float64) {
	then := &figures{own: own}
	sum := func(total [3]string, parts [][3]string) {
		codes := func(c [3]string) []string {
			frequency := "M"
			if len(c[0]) == 4 {
				frequency = "A"
			}
			return []string{frequency, "AA", "1A", c[1], c[2], "_T", c[0]}
		}
		named := func(c [3]string) string { return c[0] + " " + c[1] + "." + c[2] }
		truths := map[string]int64{}
		for _, part := range parts {
			if len(then.inside(codes(part))) > 0 {
				truths[named(part)] = then.truth(codes(part))
			}
		}
		o.Equate(named(total), then.truth(codes(total)), truths)
	}
	replaced := func(c [3]string, i int, codes []string) [][3]string {
		var parts [][3]string
		for _, code := range codes {
			c[i] = code
			parts = append(parts, c)
		}
		return parts
	}
	sections, citizenships := []string{"NORTH", "SOUTH", "EAST"}, []string{"SYR", "AFG", "IRQ"}
	for _, section := range append(sections, "_T") {
		for _, citizenship := range append(citizenships, "_T") {
			for _, period := range append(monthsTold, "2023") {
				c := [3]string{period, section, citizenship}
				if section == "_T" {
					sum(c, replaced(c, 1, sections))
				}
				if citizenship == "_T" {
					sum(c, replaced(c, 2, citizenships))
				}
				if period == "2023" {
					sum(c, replaced(c, 0, monthsTold))
				}
			}
		}
	}
}

// truth returns what a cell counts.
func (f *figures) truth(codes []string) int64 {
	sum := 0.0
	for _, figure := range f.inside(codes) {
		sum += figure
	}
	return int64(sum)
}

// inside returns the stored figures that a cell is the sum of.
func (f *figures) inside(codes []string) (figures []float64) {
	for stored, figure := range f.own {
		of := strings.Split(stored, ",")
		inside := strings.HasPrefix(of[6], codes[6])
		for i := 1; i < 6; i++ {
			inside = inside && (codes[i] == "_T" || of[i] == codes[i])
		}
		if inside {
			figures = append(figures, figure)
		}
	}
	return figures
}
