package partner_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/sharing"
)

// correct has aa revise its first year, and waits until the correction is at bb.
func correct(t *testing.T, aa, bb *state) {
	t.Helper()
	aa.submit(1, 101)
	eventually(t, "the correction arrives", func() bool { return arrived(aa, bb) })
}

// tellsProvenance expects bb to say by what right it has the figures of aa: those of the second year from the first release,
// and those of the first year from the correction.
func tellsProvenance(t *testing.T, aa, bb *state, all int64) {
	t.Helper()
	query := sharing.TraceQuery{Dataflow: dataflow, Provider: "aa"}
	found, next, revision, err := bb.service.Provenance(t.Context(), query, sharing.Page{})
	must(t, err)
	if len(found) != 2 || next != "" || revision < found[0].Revision || found[0].Figures+found[1].Figures != all {
		t.Fatalf("%+v, %q, %d", found, next, revision)
	}
	releases, _, err := aa.service.Releases(t.Context(), sharing.Page{})
	must(t, err)
	deliveries, _, err := bb.service.Deliveries(t.Context(), sharing.Page{Partner: "aa"})
	must(t, err)
	for i, p := range found {
		released, delivered := releases[i], deliveries[i]
		if p.Provider != "aa" || p.Agreement != "aa-bb" || p.Version != 1 || p.Release != released.ID || p.Decision != released.Decision ||
			p.PolicyRevision != released.PolicyRevision || p.Released.IsZero() || p.Expires != p.Stored.Add(keepDays*24*time.Hour) {
			t.Errorf("%+v of %+v", p, released)
		}
		if len(p.Batches) != 1 || p.Batches[0].At.Sequence != delivered.Sequence || !bytes.Equal(p.Batches[0].EnvelopeSHA256, delivered.EnvelopeSHA256) ||
			p.Batches[0].Received.After(p.Stored) {
			t.Errorf("%+v of %+v", p.Batches, delivered)
		}
	}
	if found[0].FirstDay != "2000-01-01" || found[0].LastDay != "2000-12-31" || found[1].LastDay != "2001-12-31" {
		t.Errorf("%+v", found)
	}
	// One figure has one.
	query.Filter, query.Start, query.End = filter.In("CITIZENSHIP", "SYR"), "2001-03", "2001-03"
	one, _, _, err := bb.service.Provenance(t.Context(), query, sharing.Page{})
	must(t, err)
	if len(one) != 1 || one[0].Figures != 1 || one[0].Release != found[1].Release || one[0].FirstDay != "2001-03-01" {
		t.Errorf("%+v", one)
	}
}
