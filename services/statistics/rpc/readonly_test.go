package rpc_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/statistics"
)

func TestReadOnlyStatistics(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := newMadeUp(t)
	n.gate(t, "before", map[string]float64{"East Aland 2024-01": 3})
	rejected := n.gate(t, "another", map[string]float64{"East Aland 2024-02": 4})
	set := func(lift bool, why string) (*statisticspb.ReadOnly, error) {
		answer, err := n.SetReadOnly(ctx, &statisticspb.SetReadOnlyRequest{Lift: lift, Reason: why})
		return answer.GetReadOnly(), err
	}
	changes := map[string]func() error{
		"a submission": func() error {
			_, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates}, []string{"FREQ", "GATE", "NATION", "TIME_PERIOD"},
				[][]string{{"M", "East", "Aland", "2024-03"}}, []float64{5})
			return err
		},
		"a partner's release": func() error { _, err := n.receive(t, "y", "r", 1, "East Aland 2024-01"); return err },
		"events": func() error {
			_, err := n.record(t, &statisticspb.EventsHeader{Batch: "b"})
			return err
		},
		"structures": func() error {
			_, err := n.CreateStructures(ctx, &statisticspb.CreateStructuresRequest{Structures: &statisticspb.Structures{
				Codelists: []*statisticspb.Codelist{{Agency: "X", Id: "CL_NEW", Version: "1.0.0", Codes: []*statisticspb.Code{{Id: "A"}}}},
			}})
			return err
		},
		"a layout": func() error {
			_, err := n.CreateLayout(ctx, &statisticspb.CreateLayoutRequest{Layout: &statisticspb.Layout{
				Id: "l", Dataflow: gates, Constants: map[string]string{"FREQ": "M"},
				Columns: []*statisticspb.LayoutColumn{
					{Header: "gate", Component: "GATE"}, {Header: "nation", Component: "NATION"}, {Header: "count", Component: "OBS_VALUE"},
				},
				Period: &statisticspb.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
			}})
			return err
		},
		"quality rules": func() error {
			_, err := n.SetQualityRules(ctx, &statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: gates}})
			return err
		},
		"a rule of retention": func() error {
			_, err := n.SetRetention(ctx, &statisticspb.SetRetentionRequest{Rule: &statisticspb.RetentionRule{AfterPeriod: "P9Y"}})
			return err
		},
		"a comment": func() error {
			_, err := n.CommentFinding(ctx, &statisticspb.CommentFindingRequest{Name: rejected.GetName(), Comment: "x"})
			return err
		},
		"closing events": func() error {
			return n.store.CloseEvents(ctx, statistics.Part{Dataflow: statistics.Ref{Agency: "X", ID: "GATES", Version: "1.0.0"}, Provider: "x"},
				func(context.Context, statistics.EventClosing) error { return nil })
		},
	}
	t.Run("they are open at first, and cannot be opened", func(t *testing.T) {
		answer, err := n.GetReadOnly(ctx, &statisticspb.GetReadOnlyRequest{})
		if err != nil || answer.GetReadOnly().GetOn() || answer.GetReadOnly().GetCreateTime() != nil {
			t.Errorf("%v, %v", answer, err)
		}
		if _, err := set(true, "x"); reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
		if _, err := set(false, " "); status.Code(err) != codes.InvalidArgument {
			t.Errorf("without a reason: %v", err)
		}
	})
	t.Run("closed, they refuse every change as unavailable, say why, and answer questions", func(t *testing.T) {
		closed, err := set(false, "the database moves")
		if err != nil || !closed.GetOn() || closed.GetBy() != "somebody" || closed.GetReason() != "the database moves" {
			t.Fatalf("%v, %v", closed, err)
		}
		if again, err := set(false, "again"); err != nil || again.GetReason() != "the database moves" {
			t.Errorf("a second time: %v, %v", again, err)
		}
		for what, change := range changes {
			err := change()
			if what == "closing events" { // it came past the server
				err = shown(t, err)
			}
			if status.Code(err) != codes.Unavailable || reason(err) != "READ_ONLY" {
				t.Errorf("%s: %v", what, err)
			}
		}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates}, figure("M.East.Aland", "2024-01", 3), figure("M.East.Aland", "2024-02", 4))
	})
	t.Run("a process that begins anew finds them closed", func(t *testing.T) {
		again := n.after(0)
		if now, err := again.ReadOnly(ctx); err != nil || !now.On {
			t.Errorf("%+v, %v", now, err)
		}
		if err := again.RemoveExpired(ctx); err != nil { // of nothing
			t.Error(err)
		}
	})
	t.Run("opened again, they take what they refused", func(t *testing.T) {
		if opened, err := set(true, "it has moved"); err != nil || opened.GetOn() {
			t.Fatalf("%v, %v", opened, err)
		}
		if err := changes["a submission"](); err != nil {
			t.Error(err)
		}
		if err := changes["a layout"](); err != nil {
			t.Error(err)
		}
	})
	t.Run("who closes them waits for the change under way, also where that needs a second transaction", func(t *testing.T) {
		begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- n.store.Update(ctx, func(context.Context, statistics.Transaction) error {
				close(begun)
				<-goOn
				return n.store.Update(ctx, func(context.Context, statistics.Transaction) error { return nil })
			})
		}()
		<-begun
		closing := make(chan error, 1)
		go func() {
			_, err := set(false, "once more")
			closing <- err
		}()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if now, err := n.service.ReadOnly(ctx); err == nil && now.On {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("they never close")
			}
		}
		select {
		case err := <-closing:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		close(goOn)
		if err := <-ended; shown(t, err) == nil || reason(shown(t, err)) != "READ_ONLY" {
			t.Errorf("the second transaction: %v", err)
		}
		if err := <-closing; err != nil {
			t.Error(err)
		}
	})
	t.Run("held on the spot, they cannot be opened until the hold ends", func(t *testing.T) {
		if err := n.service.HoldReadOnly(ctx, "smoke"); err != nil {
			t.Fatal(err)
		}
		if _, err := set(true, "x"); reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
		if err := n.service.HoldReadOnly(ctx, ""); err != nil {
			t.Fatal(err)
		}
		if err := changes["a submission"](); reason(err) != "READ_ONLY" {
			t.Errorf("the end of the hold opens them: %v", err)
		}
		if _, err := set(true, "over"); err != nil {
			t.Error(err)
		}
	})
}
