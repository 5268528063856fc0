package rpc_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// gateLayout reads files of the dataflow gates.
func gateLayout(id string, change func(*statisticspb.Layout)) *statisticspb.Layout {
	layout := &statisticspb.Layout{
		Id: id, Dataflow: gates, Constants: map[string]string{"FREQ": "M"},
		Columns: []*statisticspb.LayoutColumn{
			{Header: "gate", Component: "GATE"}, {Header: "nation", Component: "NATION"}, {Header: "count", Component: "OBS_VALUE"},
		},
		Period: &statisticspb.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
	}
	if change != nil {
		change(layout)
	}
	return layout
}

func (n *node) layout(t *testing.T, layout *statisticspb.Layout) {
	t.Helper()
	if _, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: layout}); err != nil {
		t.Fatal(err)
	}
}

// TestBadInput submits files with which something is wrong: each is rejected with a finding that says where, and leaves
// nothing behind.
func TestBadInput(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.layout(t, gateLayout("gates", nil))
	n.layout(t, gateLayout("declared", func(l *statisticspb.Layout) { l.Encoding = "windows-1252" }))
	n.layout(t, &statisticspb.Layout{
		Id: "who", Dataflow: harmonic, Constants: map[string]string{"FREQ": "M"},
		Columns: []*statisticspb.LayoutColumn{{Header: "nation", Component: "WHO"}, {Header: "count", Component: "OBS_VALUE"}},
		Period:  &statisticspb.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
	})
	const header = "month,gate,nation,count\n"
	const good = "2024-01,East,Aland,3\n"
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprint("column ", i)
	}
	for _, test := range []struct {
		name, layout, file string
		want               []string // of the findings: rule, line and column
		says               string   // part of the first message
	}{
		{"it refuses bytes that are not of the encoding", "gates", header + good + "2024-01,S\xf8r,Aland,3\n", []string{"ENCODING 3 gate"}, "not UTF-8"},
		{"it refuses a byte order mark of another encoding", "declared", "\uFEFF" + header + good, []string{"ENCODING 1 "}, "byte order mark of UTF-8"},
		{"it refuses UTF-16 in half", "gates", "\xff\xfem\x00o", []string{"ENCODING 1 column 1", "HEADER 1 gate", "HEADER 1 nation", "HEADER 1 count", "HEADER 1 month"}, "not text"},
		{"it refuses ragged rows", "gates", header + "2024-01,East\n" + good + "2024-01,East,Aland,3,4\n", []string{"ROW 2 ", "ROW 4 "}, "2 cells, the header row 4"},
		{"it refuses an unclosed quote", "gates", header + good + "2024-01,\"West,Aland,3\n" + good, []string{"ROW 3 "}, "line 3, byte 9, is not closed"},
		{"it refuses unknown codes", "who", "month,nation,count\n2024-01,AAA,3\n2024-01,ZZZ,3\n", []string{"UNKNOWN_CODE 3 WHO"}, `"ZZZ"`},
		{"it refuses duplicate keys", "gates", header + good + "2024-02,East,Aland,3\n2024-01,East,Aland,4\n", []string{"DUPLICATE_KEY 4 "}, "line 2, with 4 here and 3 there"},
		{"it refuses negative counts", "gates", header + good + "2024-02,East,Aland,-3\n", []string{"NEGATIVE_VALUE 3 OBS_VALUE"}, "-3"},
		{"it refuses NaN and Inf", "gates", header + "2024-01,East,Aland,NaN\n2024-01,East,Bland,Inf\n2024-01,West,Bland,-Infinity\n", []string{"VALUE 2 count", "VALUE 3 count", "VALUE 4 count"}, `"NaN"`},
		{"it refuses figures that no float64 holds", "gates", header + "2024-01,East,Aland," + strings.Repeat("9", 400) + "\n", []string{"VALUE 2 count"}, "999"},
		{"it refuses the year 9999 and beyond", "gates", header + "9999-12,East,Aland,3\n10000-01,East,Aland,3\n0000-01,East,Aland,3\n", []string{"PERIOD 2 month", "PERIOD 3 month", "PERIOD 4 month"}, "9999"},
		{"it refuses an empty file", "gates", "", []string{"HEADER 1 "}, "empty"},
		{"it refuses blank lines alone", "gates", "\n\r\n\n", []string{"HEADER 1 "}, "empty"},
		{"it refuses a header alone", "gates", header, []string{"NO_ROWS 0 "}, "no rows"},
		{"it refuses a file of another layout", "who", header + good, []string{"HEADER 1 gate"}, `no column "gate"`},
		{"it refuses NUL bytes", "gates", header + "2024-01,Ea\x00st,Aland,3\n2024-01,West,Aland,\x00\n", []string{"ENCODING 2 gate", "ENCODING 3 count"}, "U+0000"},
		{"it refuses a column that stands twice", "gates", "month,gate,nation,gate,count\n2024-01,East,Aland,East,3\n", []string{"HEADER 1 gate"}, "twice"},
		{"it refuses control characters", "gates", header + "2024-01,Ea\x07st,Aland,3\n", []string{"INVALID_TEXT 2 GATE"}, "not text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := n.refused(t, test.layout, strings.NewReader(test.file))
			var got []string
			for _, f := range s.GetFindings() {
				got = append(got, fmt.Sprintf("%s %d %s", f.GetRule(), f.GetLine(), f.GetColumn()))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Fatalf("the findings differ (-want +got):\n%s\n%v", diff, s.GetFindings())
			}
			if message := s.GetFindings()[0].GetMessage(); !strings.Contains(message, test.says) {
				t.Errorf("the message is %q, without %q", message, test.says)
			}
		})
	}

	t.Run("it refuses 10,000 columns in a few findings", func(t *testing.T) {
		s := n.refused(t, "gates", strings.NewReader(strings.Join(many, ",")+"\n"))
		findings := s.GetFindings()
		if last := findings[len(findings)-1].GetMessage(); len(findings) != 21 || !strings.Contains(last, "9984 further columns") || !strings.Contains(last, "has 10000, the layout 4") {
			t.Errorf("%d findings, the last: %s", len(findings), last)
		}
	})
	t.Run("it refuses very many wrong rows in 1,001 findings", func(t *testing.T) {
		s := n.refused(t, "gates", io.MultiReader(strings.NewReader(header), strings.NewReader(strings.Repeat("x\n", 100_000))))
		if findings := s.GetFindings(); len(findings) != 1001 || findings[1000].GetRule() != "MORE_FINDINGS" {
			t.Errorf("%d findings", len(findings))
		}
	})
	t.Run("it reads quoted line breaks, and says so", func(t *testing.T) {
		s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(header+"2024-01,\"East\r\ngate\",Aland,3\n"))
		if err != nil {
			t.Fatal(err)
		}
		if f := s.GetFindings(); s.GetState() != statisticspb.Submission_ACCEPTED || len(f) != 1 || f[0].GetRule() != "LINE_BREAK" || f[0].GetSeverity() != statisticspb.Finding_NOTE {
			t.Errorf("%v with findings %v", s.GetState(), f)
		}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates}, figure("M.East gate.Aland", "2024-01", 3))
	})
}

// refused submits a file that is rejected, and looks that nothing of it is stored.
func (n *node) refused(t *testing.T, layout string, file io.Reader) *statisticspb.Submission {
	t.Helper()
	dataflow := gates
	if layout == "who" {
		dataflow = harmonic
	}
	s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: dataflow, Layout: layout}, file)
	if err != nil {
		t.Fatal(err)
	}
	if s.GetState() != statisticspb.Submission_REJECTED || len(s.GetFindings()) == 0 || s.GetRevision() != 0 {
		t.Fatalf("%v with %d findings", s.GetState(), len(s.GetFindings()))
	}
	for _, dataflow := range []string{gates, harmonic} {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: dataflow})
	}
	return s
}

// TestDuplicateRules submits a file in which keys stand several times.
func TestDuplicateRules(t *testing.T) {
	t.Parallel()
	const file = "month,gate,nation,count\n2024-01,East,Aland,3\n2024-01,West,Aland,7\n2024-01,East,Aland,4\n2024-01,East,Aland,5\n"
	for _, test := range []struct {
		rule  statisticspb.Layout_DuplicateRule
		east  float64
		notes []string
	}{
		{statisticspb.Layout_FIRST, 3, []string{"line 2, with 4 here and 3 there: the first is kept", "line 2, with 5 here and 3 there: the first is kept"}},
		{statisticspb.Layout_LAST, 5, []string{"line 2, with 4 here and 3 there: the last is kept", "line 4, with 5 here and 4 there: the last is kept"}},
		{statisticspb.Layout_SUM, 12, []string{"line 2, with 4 here and 3 there: they are summed", "line 2, with 5 here and 7 there: they are summed"}},
	} {
		t.Run(test.rule.String(), func(t *testing.T) {
			t.Parallel()
			n := newMadeUp(t)
			n.layout(t, gateLayout("gates", func(l *statisticspb.Layout) { l.Duplicates = test.rule }))
			s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if s.GetState() != statisticspb.Submission_ACCEPTED || len(s.GetFindings()) != len(test.notes) {
				t.Fatalf("%v with findings %v", s.GetState(), s.GetFindings())
			}
			for i, f := range s.GetFindings() {
				if f.GetRule() != "DUPLICATE_KEY" || f.GetSeverity() != statisticspb.Finding_NOTE || f.GetLine() != int32(i+4) || !strings.HasSuffix(f.GetMessage(), test.notes[i]) {
					t.Errorf("finding %v, want one that ends with %q", f, test.notes[i])
				}
			}
			wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates}, figure("M.East.Aland", "2024-01", test.east), figure("M.West.Aland", "2024-01", 7))
		})
	}

	t.Run("it lists a hundred duplicates and counts the others", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		n.layout(t, gateLayout("gates", func(l *statisticspb.Layout) { l.Duplicates = statisticspb.Layout_SUM }))
		header, row, _ := strings.Cut(file, "\n")
		row, _, _ = strings.Cut(row, "\n")
		s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(header+"\n"+strings.Repeat(row+"\n", 5001)))
		if err != nil {
			t.Fatal(err)
		}
		findings := s.GetFindings()
		if last := findings[len(findings)-1]; len(findings) != 101 || !strings.HasPrefix(last.GetMessage(), "4900 further rows") {
			t.Errorf("%d findings, the last: %v", len(findings), last)
		}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates}, figure("M.East.Aland", "2024-01", 3*5001))
	})
}

// TestLongLine submits a line of 200 MB, and shorter ones that are as endless in a header and in an open quote. It does not run beside other tests,
// since it measures memory.
func TestLongLine(t *testing.T) { //nolint:paralleltest // see above
	n := newMadeUp(t)
	n.layout(t, gateLayout("gates", nil))
	const header, limit = "month,gate,nation,count\n", 64 << 20
	for _, test := range []struct {
		name, start string
		size        int64
	}{{"a line", header, 200 << 20}, {"a header", "", 20 << 20}, {"a quote", header + "2024-01,\"East", 20 << 20}} {
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		most := make(chan uint64)
		done := make(chan struct{})
		go func() {
			tick, highest := time.NewTicker(20*time.Millisecond), uint64(0)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					var now runtime.MemStats
					runtime.ReadMemStats(&now)
					highest = max(highest, now.HeapAlloc)
				case <-done:
					most <- highest
					return
				}
			}
		}()
		s := n.long(t, test.start, test.size>>20)
		close(done)
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates})
		if f := s.GetFindings(); len(f) != 1 || f[0].GetRule() != "ROW" || !strings.Contains(f[0].GetMessage(), "longer than") {
			t.Errorf("%s: the findings are %v", test.name, f)
		}
		if grown := int64(<-most) - int64(before.HeapAlloc); grown > limit {
			t.Errorf("%s: the memory in use grows by %d MiB", test.name, grown>>20)
		}
	}
}

// long submits a text that so many MiB of one letter follow.
func (n *node) long(t *testing.T, start string, mebibytes int64) *statisticspb.Submission {
	t.Helper()
	stream, err := n.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	header := &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}
	parts := []*statisticspb.SubmitRequest{
		{Part: &statisticspb.SubmitRequest_Header{Header: header}},
		{Part: &statisticspb.SubmitRequest_Data{Data: []byte(start)}},
	}
	piece := &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Data{Data: bytes.Repeat([]byte("x"), 1<<20)}}
	for _, part := range append(parts, slices.Repeat([]*statisticspb.SubmitRequest{piece}, int(mebibytes))...) {
		if err := stream.Send(part); err != nil {
			break // the answer says why
		}
	}
	response, err := stream.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	return response.GetSubmission()
}
