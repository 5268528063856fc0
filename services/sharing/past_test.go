package sharing

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

func TestLookBack_at_what_statistics_no_longer_hold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		remove func(f *months)
		detail map[string]string
		kept   string // of the periods, those that do not go
	}{
		"lets all go where nothing is gone": {func(*months) {}, monthly, ""},
		"keeps a month back of which all is gone": {func(f *months) {
			maps.DeleteFunc(f.before[1], func(key [3]string, _ float64) bool { return key[0] == "2024-02" })
		}, monthly, "2024-02"},
		"keeps a month back of which some is gone": {func(f *months) { delete(f.before[1], [3]string{"2024-02", "E1", "R1"}) }, monthly, "2024-02"},
		"keeps all back where the revision is gone": {func(f *months) {
			f.gone = map[int64]bool{1: true}
		}, monthly, "2024-01 2024-02 2024-03"},
		"lets what is gone go in a detail that was told": {func(f *months) { f.before[1] = nil }, sections, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counts := map[[3]string]float64{}
			for _, month := range []string{"2024-01", "2024-02", "2024-03"} {
				for i, section := range []string{"W1", "W2", "E1"} {
					counts[[3]string{month, section, "R1"}], counts[[3]string{month, section, "Q1"}] = float64(40+i), float64(50+i)
				}
			}
			f, stack := newMonths(counts), ledger.NewMemory()
			if first := f.give(t, sections, stack); len(first.made) != 3 {
				t.Fatalf("%+v", first.Notes)
			}
			f.at++
			f.counts[[3]string{"2024-01", "W1", "R1"}]++
			c.remove(f)
			second := f.give(t, c.detail, stack)
			var kept []string
			for _, note := range second.Notes {
				kept = append(kept, note.Periods...)
				if !strings.Contains(note.Reason, "no longer hold 2024-") || !strings.Contains(note.Reason, "in revision 1") {
					t.Errorf("the reason is %q", note.Reason)
				}
			}
			slices.Sort(kept)
			if got := strings.Join(kept, " "); got != c.kept || len(second.made)+len(kept) != 3 {
				t.Errorf("%d tables go, %q do not", len(second.made), got)
			}
		})
	}
}
