package sharing_test

import (
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/sharing"
)

func TestComparison(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, at := proved(t)
	var entries []sharing.LogEntry
	for _, s := range []*state{w.aa, w.bb} {
		all, err := s.LogEntries(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, all...)
	}
	compare := func(change func(*sharing.LogEntry)) []string {
		var c sharing.Comparison
		for _, entry := range entries {
			change(&entry)
			c.Add(entry)
		}
		return c.Contradictions()
	}
	t.Run("finds nothing between honest logs, though one is further", func(t *testing.T) {
		if found := compare(func(*sharing.LogEntry) {}); len(found) > 0 {
			t.Error(found)
		}
	})
	for name, test := range map[string]struct {
		kind sharing.EntryKind
		want string
	}{
		"finds an envelope that the receiver never saw": {sharing.EntryEnvelopeSent, "another envelope"},
		"finds a receipt that the receiver never gave":  {sharing.EntryReceiptReceived, "another receipt"},
	} {
		t.Run(name, func(t *testing.T) {
			found := compare(func(entry *sharing.LogEntry) {
				if entry.Kind == test.kind && entry.Subject == placeOf(at) {
					entry.ContentSHA256 = make([]byte, 32)
				}
			})
			if len(found) != 1 || !strings.Contains(found[0], test.want) || !strings.Contains(found[0], placeOf(at)) {
				t.Errorf("%q", found)
			}
		})
	}
}
