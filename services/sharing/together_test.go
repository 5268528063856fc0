package sharing_test

import (
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

// A partner reads what is published beside what it was sent, and remembers both.
func TestReleasesAndPublicationsTogether(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {
		Allow: true, Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Obligations: sharing.Obligations{MinimumFrequency: 12},
	}}
	random := rand.New(rand.NewPCG(4, 2))
	figure := func() float64 { return []float64{0, 1, 1, 2, 2, 3, 4, 6, 9, 20, 50}[random.IntN(11)] }
	months := []string{"2023-01", "2023-02", "2023-03", "2023-04"}
	revise := func(share float64) {
		for _, month := range months {
			for _, section := range []string{"NORTH", "SOUTH", "EAST"} {
				for _, citizenship := range []string{"SYR", "AFG", "IRQ"} {
					if random.Float64() < share {
						w.aa.figures.set(fmt.Sprintf("M,AA,1A,%s,%s,_T,%s", section, citizenship, month), figure())
					}
				}
			}
		}
	}
	revise(1)
	w.agree(t, w.terms())
	partner, public := disclosuretest.NewOnlooker(), disclosuretest.NewOnlooker()
	see := func(o *disclosuretest.Onlooker, received map[string]float64) {
		t.Helper()
		if err := w.aa.figures.tell(o, received); err != nil {
			t.Fatal(err)
		}
	}
	see(partner, w.bb.figures.received)
	shown := 0
	for round := range 6 {
		if round > 0 {
			revise(0.1)
		}
		publish := func() {
			if _, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}}); err != nil {
				t.Fatal(err)
			}
			see(partner, w.aa.figures.received)
			see(public, w.aa.figures.received)
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
	for _, reader := range []struct {
		name string
		*disclosuretest.Onlooker
		minimum int64
	}{{"the partner", partner, 3}, {"the public", public, 12}} {
		known, err := reader.Withheld(1, reader.minimum-1, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(known) == 0 {
			t.Errorf("nothing is withheld from %s", reader.name)
		}
		for _, k := range known {
			if k.Width() < 3 {
				t.Errorf("%s knows that %s lies between %v and %v", reader.name, k.Cell, k.Low, k.High)
			}
		}
	}
	if shown == 0 {
		t.Error("nothing was published")
	}
}

// tell shows an onlooker what somebody received, beside the truth.
func (f *figures) tell(o *disclosuretest.Onlooker, received map[string]float64) error {
	parts := []map[string][]string{{"_T": {"NORTH", "SOUTH", "EAST", "_O"}}, {"_T": {"SYR", "AFG", "IRQ", "_O"}}}
	rows := map[string][]disclosuretest.Row{}
	for key, value := range received {
		codes := strings.Split(key, ",")
		truth := 0.0
		for stored, figure := range f.own {
			of := strings.Split(stored, ",")
			inside := of[6] == codes[6]
			for i := range 6 {
				inside = inside && (codes[i] == "_T" || of[i] == codes[i])
			}
			if inside {
				truth += figure
			}
		}
		rows[codes[6]] = append(rows[codes[6]], disclosuretest.Row{Key: codes[3:5], Value: value, Truth: int64(truth)})
	}
	for _, month := range slices.Sorted(maps.Keys(rows)) {
		if err := o.See(month, parts, rows[month]); err != nil {
			return err
		}
	}
	return nil
}
