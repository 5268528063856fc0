package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

func (f *fakeSharing) Tabulate(_ context.Context, request *sharingpb.TabulateRequest) (*sharingpb.TabulateResponse, error) {
	f.tabulated = request
	return &sharingpb.TabulateResponse{
		Dimensions: []string{"SEX"}, Cells: []*sharingpb.TableCell{{Key: []string{"F"}, Period: "2024-01", Count: 3_000_000_000}},
		Asked: 2, Perturbation: &sharingpb.Perturbation{Maximum: 5, Variance: 3, SmallestReleased: 2},
		Rounding: &sharingpb.TableRounding{Base: 3}, Note: "They do not add up.", Budget: &sharingpb.TableBudget{Cells: 100, Left: 0, Hours: 24},
	}, f.err
}

func TestTables(t *testing.T) {
	n := newNode(t)
	const ask = `{"dataflow": "X:F(1.0.0)", "indicator": "1A", "dimensions": [{"id": "SEX", "level": "sex"}, {"id": "AGE", "codes": ["Y_LT18"]}],
		"frequency": "M", "startPeriod": "2024-01", "endPeriod": "2024-12", "rounding": {"base": 3}}`
	t.Run("it asks for a table and answers it", func(t *testing.T) {
		answer, body := n.do(t, "POST", "/v1/tables", ask)
		body = strings.NewReplacer(`": `, `":`, `, `, `,`).Replace(body)
		for _, part := range []string{
			`"cells":[{"key":["F"],"period":"2024-01","count":3000000000}]`, `"asked":2`, `"maximum":5,"variance":3,"smallestReleased":2`,
			`"rounding":{"base":3}`, `"budget":{"cells":100,"left":0,"hours":24}`,
		} {
			if answer.StatusCode != http.StatusOK || !strings.Contains(body, part) {
				t.Errorf("%d %s, want %s", answer.StatusCode, body, part)
			}
		}
		want := &sharingpb.TabulateRequest{
			Dataflow: "X:F(1.0.0)", Indicator: "1A", Frequency: "M", StartPeriod: "2024-01", EndPeriod: "2024-12",
			Dimensions: []*sharingpb.TableDimension{{Id: "SEX", Level: "sex"}, {Id: "AGE", Codes: []string{"Y_LT18"}}}, Rounding: &sharingpb.TableRounding{Base: 3},
		}
		if diff := cmp.Diff(want, n.sharing.tabulated, protocmp.Transform()); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
	t.Run("it says that a budget is spent", func(t *testing.T) {
		n.sharing.err = reasoned(codes.ResourceExhausted, "LIMIT_EXCEEDED", "your budget has 0 left")
		answer, body := n.do(t, "POST", "/v1/tables", ask)
		if e, reason := readError(t, body); answer.StatusCode != http.StatusTooManyRequests || reason != "LIMIT_EXCEEDED" || e.Message != "your budget has 0 left" {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	})
}
