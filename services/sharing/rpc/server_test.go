package rpc

import (
	"context"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// logStore is a store that holds nothing but a log.
type logStore struct {
	sharing.Store
	entries []sharing.LogEntry
	most    int // that were asked for at once
}

func (s *logStore) LogEntries(_ context.Context, from int64, limit int) ([]sharing.LogEntry, error) {
	s.most = max(s.most, limit)
	from = min(from, int64(len(s.entries)))
	return s.entries[from:min(from+int64(limit), int64(len(s.entries)))], nil
}

func TestListLogEntries(t *testing.T) {
	for name, test := range map[string]struct {
		entries, bytes int
		size           int32
		pages          []int
	}{
		"lists an empty log":                         {0, 0, 0, []int{0}},
		"lists a hundred unless told otherwise":      {150, 10, 0, []int{100, 50}},
		"lists as many as it is told":                {50, 10, 20, []int{20, 20, 10}},
		"lists fewer where entries are large":        {5, 900 << 10, 100, []int{2, 2, 1}},
		"lists one entry that is larger than a page": {2, 3 << 20, 100, []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			store := &logStore{entries: make([]sharing.LogEntry, test.entries)}
			for i := range store.entries {
				store.entries[i] = sharing.LogEntry{Index: int64(i), Content: make([]byte, test.bytes)}
			}
			server := NewServer(sharing.New(sharing.Config{Store: store}))
			request, next := &sharingpb.ListLogEntriesRequest{PageSize: test.size}, 0
			for i := 0; ; i++ {
				page, err := server.ListLogEntries(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				if i >= len(test.pages) || len(page.GetEntries()) != test.pages[i] {
					t.Fatalf("page %d has %d entries", i, len(page.GetEntries()))
				}
				for _, entry := range page.GetEntries() {
					if entry.GetIndex() != float64(next) {
						t.Fatalf("entry %v comes where %d should", entry.GetIndex(), next)
					}
					next++
				}
				if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
					break
				}
			}
			if next != test.entries || store.most > logChunk {
				t.Errorf("%d of %d entries came, up to %d at once", next, test.entries, store.most)
			}
		})
	}
	t.Run("refuses a token that it did not give", func(t *testing.T) {
		_, err := NewServer(nil).ListLogEntries(t.Context(), &sharingpb.ListLogEntriesRequest{PageToken: "-1"})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("got %v", err)
		}
	})
}

func TestServer(t *testing.T) {
	server := NewServer(nil)
	for name, call := range map[string]func(context.Context) error{
		"a publication without its collection": func(ctx context.Context) error {
			_, err := server.GetPublication(ctx, &sharingpb.GetPublicationRequest{Name: "publications/"})
			return err
		},
		"an agreement without its collection": func(ctx context.Context) error {
			_, err := server.GetAgreement(ctx, &sharingpb.GetAgreementRequest{Name: "aa-bb"})
			return err
		},
		"an agreement without an id": func(ctx context.Context) error {
			_, err := server.SignAgreement(ctx, &sharingpb.SignAgreementRequest{Name: "agreements/"})
			return err
		},
		"a draft without terms": func(ctx context.Context) error {
			_, err := server.CreateAgreement(ctx, &sharingpb.CreateAgreementRequest{})
			return err
		},
		"a page of less than nothing": func(ctx context.Context) error {
			_, err := server.ListDeliveries(ctx, &sharingpb.ListDeliveriesRequest{PageSize: -1})
			return err
		},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := call(t.Context()); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSubmitted(t *testing.T) {
	t.Run("says why a release was rejected, by its first blocking finding", func(t *testing.T) {
		got := submitted(&statisticspb.Submission{State: statisticspb.Submission_REJECTED, Findings: []*statisticspb.Finding{
			{Rule: "NOTED", Severity: statisticspb.Finding_NOTE, Message: "something"},
			{Rule: "UNKNOWN_CODE", Severity: statisticspb.Finding_BLOCKING, Message: "no code ZZZ"},
		}})
		if want := (sharing.Submitted{Reason: "UNKNOWN_CODE: no code ZZZ"}); got != want {
			t.Errorf("got %+v", got)
		}
	})
}
