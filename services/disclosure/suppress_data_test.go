package disclosure_test

import (
	"os"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
)

// The bounds are 1.05 times the best that is known of patterns, without regard to single contributors and with.
func TestProtectKeepsItsCostOnPublishedTables(t *testing.T) {
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("it takes some 10 s; COMITY_LONG=1 runs it")
	}
	for k, bound := range [][2]int64{{2112, 2314}, {51_054, 52_249}} {
		p := disclosuretest.Tables()[k]
		t.Run(p.Name, func(t *testing.T) {
			table := p.Read(t)
			for n, ignore := range []bool{true, false} {
				r, err := disclosure.Protect(t.Context(), table, p.Rules, disclosure.Options{IgnoreSingletons: ignore})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d cells, %d secondary, cost %d, %.1f %% kept, %d points; single contributors ignored: %v",
					len(table.Cells), r.SecondaryCount, r.SecondaryValue, 100*r.Kept, len(r.Points), ignore)
				if r.SecondaryValue > bound[n] {
					t.Errorf("the cost is %d, the bound %d", r.SecondaryValue, bound[n])
				}
			}
		})
	}
}
