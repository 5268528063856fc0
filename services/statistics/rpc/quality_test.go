package rpc_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/region"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

const (
	merge   = statisticspb.SubmissionHeader_MERGE
	replace = statisticspb.SubmissionHeader_REPLACE
)

// release is a national file: a header, and rows of cells.
type release struct {
	header []string
	rows   [][]string
}

func readRelease(t *testing.T, path string) release {
	t.Helper()
	rows, err := csv.NewReader(open(t, path)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return release{rows[0], rows[1:]}
}

func (r release) column(header string) int { return slices.Index(r.header, header) }

// with returns the release with rows changed; nil leaves a row out.
func (r release) with(change func(row []string) []string) release {
	changed := release{header: r.header}
	for _, row := range r.rows {
		if row = change(slices.Clone(row)); row != nil {
			changed.rows = append(changed.rows, row)
		}
	}
	return changed
}

// summed adds up the rows that are the same but for their figure.
func (r release) summed(figure int) release {
	sums, order := map[string]float64{}, []string{}
	for _, row := range r.rows {
		value, _ := strconv.ParseFloat(row[figure], 64)
		row = slices.Clone(row)
		row[figure] = ""
		key := strings.Join(row, "\x00")
		if _, ok := sums[key]; !ok {
			order = append(order, key)
		}
		sums[key] += value
	}
	s := release{header: r.header}
	for _, key := range order {
		row := strings.Split(key, "\x00")
		row[figure] = strconv.FormatFloat(sums[key], 'f', -1, 64)
		s.rows = append(s.rows, row)
	}
	return s
}

// judged is a node to which releases of one layout are submitted.
type judged struct {
	*node
	layout *statisticspb.Layout
	sent   int
}

func newJudged(t *testing.T, state string, change func(*statisticspb.Layout)) *judged {
	t.Helper()
	r, err := region.Load("../../../deploy/sandbox")
	if err != nil {
		t.Fatal(err)
	}
	s := r.State(state)
	j := &judged{node: newNode(t, state), layout: proto.CloneOf(s.Layouts[0])}
	j.create(t, slices.Concat(r.Structures, s.Structures)...)
	if change != nil {
		change(j.layout)
	}
	if _, err := j.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: j.layout}); err != nil {
		t.Fatal(err)
	}
	return j
}

func (j *judged) send(t *testing.T, action statisticspb.SubmissionHeader_Action, r release) *statisticspb.Submission {
	t.Helper()
	j.sent++
	return j.sendAs(t, action, r, fmt.Sprint(j.sent))
}

func (j *judged) sendAs(t *testing.T, action statisticspb.SubmissionHeader_Action, r release, key string) *statisticspb.Submission {
	t.Helper()
	var file bytes.Buffer
	writer := csv.NewWriter(&file)
	if err := writer.WriteAll(append([][]string{r.header}, r.rows...)); err != nil {
		t.Fatal(err)
	}
	j.caller = internalrpc.Caller{State: j.caller.State, Service: "gateway", Person: &internalrpc.Person{Subject: "somebody"}}
	if action == replace { // which people may not
		j.caller.Service, j.caller.Person = "sharing", nil
	}
	s, err := j.upload(t, &statisticspb.SubmissionHeader{Dataflow: j.layout.GetDataflow(), Layout: j.layout.GetId(), Action: action, IdempotencyKey: key}, &file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// blocking returns the first blocking finding of each rule.
func blocking(s *statisticspb.Submission) map[string]*statisticspb.Finding {
	found := map[string]*statisticspb.Finding{}
	for _, f := range s.GetFindings() {
		if f.GetSeverity() == statisticspb.Finding_BLOCKING && found[f.GetRule()] == nil {
			found[f.GetRule()] = f
		}
	}
	return found
}

func find(s *statisticspb.Submission, rule string) *statisticspb.Finding {
	for _, f := range s.GetFindings() {
		if f.GetRule() == rule {
			return f
		}
	}
	return nil
}

// accident is something that happened to a release, with a rule that must stop it under each action; "" where it cannot be
// told from what is meant, and does no harm to what is stored.
type accident struct {
	name           string
	change         func(release) release
	replace, merge string
	says           string // a part of the message of that finding
	long           bool   // tried only where there is time: others are much the same
}

func (j *judged) suffers(t *testing.T, r release, accidents []accident) {
	for _, a := range accidents {
		for action, want := range map[statisticspb.SubmissionHeader_Action]string{replace: a.replace, merge: a.merge} {
			t.Run(fmt.Sprintf("it stops a release that %s, to %s", a.name, strings.ToLower(action.String())), func(t *testing.T) {
				if want == "" {
					t.Skip("it cannot be told from what is meant")
				}
				if a.long && os.Getenv("COMITY_LONG") == "" {
					t.Skip("COMITY_LONG is not set")
				}
				s := j.send(t, action, a.change(r))
				f := blocking(s)[want]
				if s.GetState() != statisticspb.Submission_REJECTED || s.GetRevision() != 0 || f == nil {
					t.Fatalf("%v, findings %v", s.GetState(), s.GetFindings())
				}
				if !strings.Contains(f.GetMessage(), a.says) || !f.GetOverridable() || f.Before == nil || f.After == nil {
					t.Errorf("the finding is %v", f)
				}
				if testing.Verbose() {
					for _, f := range s.GetFindings() {
						t.Log(f.GetRule(), f.GetSeverity(), f.GetMessage())
					}
				}
			})
		}
	}
}

func without(column string, prefixes ...string) func(release) release {
	return func(r release) release {
		at := r.column(column)
		return r.with(func(row []string) []string {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(row[at], p) }) {
				return nil
			}
			return row
		})
	}
}

// collapsed puts one code in the place of all in a column, and adds up what falls together; cells of further columns that
// follow from it become empty.
func collapsed(column, code, figure string, further ...string) func(release) release {
	return func(r release) release {
		return r.with(func(row []string) []string {
			for _, header := range further {
				row[r.column(header)] = ""
			}
			row[r.column(column)] = code
			return row
		}).summed(r.column(figure))
	}
}

func half(r release) release {
	random := rand.New(rand.NewPCG(1, 2))
	return r.with(func(row []string) []string {
		if random.IntN(2) == 0 {
			return nil
		}
		return row
	})
}

func thousandfold(figure string) func(release) release {
	return func(r release) release {
		at := r.column(figure)
		return r.with(func(row []string) []string { row[at] += "000"; return row })
	}
}

func swapped(a, b string) func(release) release {
	return func(r release) release {
		i, j := r.column(a), r.column(b)
		return r.with(func(row []string) []string { row[i], row[j] = row[j], row[i]; return row })
	}
}

func TestVintagesOfTheUnitedKingdom(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(shared(t), "data/vintages/uk_irregular_migration__*.csv.gz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no releases: %v", err)
	}
	j := newJudged(t, "gb", nil)
	var r release
	for i, path := range paths {
		r = readRelease(t, path)
		if i == 1 {
			t.Run("it stops a merge that counts all figures under new labels beside the old", func(t *testing.T) {
				f := blocking(j.send(t, merge, r))
				if f["COUNTED_TWICE"].GetColumn() != "AGE" || f["TOTAL_CHANGED"] == nil || !slices.Contains(f["COUNTED_TWICE"].GetValues(), "18 to 24") {
					t.Errorf("findings %v", f)
				}
			})
		}
		s := j.send(t, replace, r)
		if s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatalf("%s: %v", filepath.Base(path), blocking(s))
		}
		switch i {
		case 1:
			if f := find(s, "RELABELLED"); f.GetColumn() != "AGE" || f.GetBefore() != 135002 || f.GetAfter() != 135234 {
				t.Errorf("relabelled: %v", f)
			}
		case 2:
			if f := find(s, "REVISED"); f != nil {
				t.Errorf("the dates move to the end of the quarter, which is no revision: %v", f)
			}
		case 3:
			if f := find(s, "REVISED"); !strings.Contains(f.GetMessage(), "of 9114 stored figures 458 are revised and 137 deleted") || f.GetBefore() != 977 || f.GetAfter() != 91 {
				t.Errorf("revised: %v", f)
			}
		}
	}
	year := func(years ...string) func(release) release { return without("Date", years...) }
	const number = "Number of detections"
	j.suffers(t, r, []accident{
		{"loses its first year", year("2018"), "PERIODS_LOST", "", "2018-Q1 to 2018-Q4 (4 periods)", false},
		{"loses 2019", year("2019"), "PERIODS_LOST", "PERIODS_LOST", "2019-Q1 to 2019-Q4 (4 periods)", true},
		{"loses 2020", year("2020"), "PERIODS_LOST", "PERIODS_LOST", "2020-Q1 to 2020-Q4 (4 periods)", false},
		{"loses 2022", year("2022"), "PERIODS_LOST", "PERIODS_LOST", "54702 in sum", true},
		{"loses its last year", year("2023"), "PERIODS_LOST", "PERIODS_LOST", "2023-Q1 to 2023-Q4 (4 periods)", false},
		{"loses a quarter", year("2021-06"), "PERIODS_LOST", "PERIODS_LOST", "2021-Q2", true},
		{"loses its nationalities", collapsed("Nationality", "Not currently recorded", number, "Region"), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "NATIONALITY is lost in 24 periods", false},
		{"loses its nationalities to a new label", collapsed("Nationality", "Unknown", number, "Region"), "BREAKDOWN_LOST", "COUNTED_TWICE", "NATIONALITY", true},
		{"loses the sex", collapsed("Sex", "Not currently recorded", number), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "SEX is lost", true},
		{"loses the age", collapsed("Age Group", "All", number), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "AGE is lost", true},
		{"loses half of its rows", half, "TOTAL_CHANGED", "ROWS_LOST", "", false},
		{"loses the second half of the file", func(r release) release { return release{r.header, r.rows[:len(r.rows)/2]} }, "TOTAL_CHANGED", "", "", true},
		{"holds everything twice, under two labellings", func(r release) release {
			age := r.column("Age Group")
			again := r.with(func(row []string) []string { row[age] = strings.ReplaceAll(row[age], " to ", "-") + " y"; return row })
			return release{r.header, slices.Concat(r.rows, again.rows)}
		}, "TOTAL_CHANGED", "TOTAL_CHANGED", "by +100.0 %", false},
		{"has another labelling of ages", func(r release) release {
			age := r.column("Age Group")
			return r.with(func(row []string) []string { row[age] = strings.ReplaceAll(row[age], " to ", "-"); return row })
		}, "", "COUNTED_TWICE", "18-24", false},
		{"is in thousandths", thousandfold(number), "TOTAL_CHANGED", "TOTAL_CHANGED", "by +99900.0 %", false},
		{"has sex and age swapped", swapped("Sex", "Age Group"), "CODES_SWAPPED", "CODES_SWAPPED", "have in ", false},
		{"has method and nationality swapped", swapped("Method of entry", "Nationality"), "CODES_SWAPPED", "CODES_SWAPPED", "have in ", true},
		{"loses the small boats", without("Method of entry", "Small boat"), "CODES_LOST", "", "Small boat arrivals", false},
	})
	t.Run("it takes a part of a release for what it is", func(t *testing.T) {
		method, date, figure := r.column("Method of entry"), r.column("Date"), r.column(number)
		for name, part := range map[string]func(row []string) bool{
			"one method": func(row []string) bool { return strings.HasPrefix(row[method], "Small boat") },
			"two distant years": func(row []string) bool {
				return strings.HasPrefix(row[date], "2018") || strings.HasPrefix(row[date], "2022")
			},
			"the newest years":    func(row []string) bool { return row[date] > "2021" },
			"the newest quarter":  func(row []string) bool { return row[date] > "2023-10" },
			"one method's figure": func(row []string) bool { return row[figure] == "7" && strings.HasPrefix(row[method], "Small boat") },
		} {
			s := j.send(t, merge, r.with(func(row []string) []string {
				if !part(row) {
					return nil
				}
				return row
			}))
			if s.GetState() != statisticspb.Submission_ACCEPTED {
				t.Errorf("%s: %v", name, blocking(s))
			}
		}
	})
}

func TestVintagesOfFrontex(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(shared(t), "data/vintages/frontex__*.csv.gz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no releases: %v", err)
	}
	blank := func(l *statisticspb.Layout) { // as the first release needs it
		for _, c := range l.GetColumns() {
			if c.GetComponent() == "CITIZENSHIP" {
				c.Blank = "XXX"
			}
		}
	}
	for _, action := range []statisticspb.SubmissionHeader_Action{replace, merge} {
		t.Run(strings.ToLower(action.String()), func(t *testing.T) {
			t.Parallel()
			j := newJudged(t, "eu", blank)
			var r release
			for i, path := range paths {
				r = readRelease(t, path)
				s := j.send(t, action, r)
				if s.GetState() != statisticspb.Submission_ACCEPTED {
					t.Fatalf("%s: %v", filepath.Base(path), blocking(s))
				}
				revised := find(s, "REVISED").GetMessage()
				switch {
				case i == 1 && action == replace:
					if f := find(s, "RELABELLED"); !cmp.Equal(f.GetValues(), []string{"XXX", "XKX"}) || f.GetBefore() != 58250 || f.GetAfter() != 58249 {
						t.Errorf("relabelled: %v", f)
					}
					if f := find(s, "TOTAL_REVISED"); f.GetPeriod() != "2023-12" || f.GetBefore() != 24649 || f.GetAfter() != 19961 {
						t.Errorf("total: %v", f)
					}
					if !strings.Contains(revised, "of 33316 stored figures 114 are revised and 276 deleted; 504 are new") {
						t.Errorf("revised: %s", revised)
					}
				case i == 1:
					if f := find(s, "COUNTED_TWICE_IN_PART"); f.GetSeverity() != statisticspb.Finding_WARNING || !slices.Contains(f.GetValues(), "XKX") {
						t.Errorf("counted twice: %v", f)
					}
				case i == 2 && !strings.Contains(revised, " 15 are revised"), i == 3 && !strings.Contains(revised, " 107 are revised"):
					t.Errorf("release %d: %s", i, revised)
				case i == 4 && revised != "":
					t.Errorf("revised: %s", revised)
				}
			}
			if action == merge {
				return
			}
			j.suffers(t, r, []accident{
				{"loses its first year", without("t", "2009"), "PERIODS_LOST", "", "2009-01 to 2009-12 (12 periods)", false},
				{"loses 2015", without("t", "2015"), "PERIODS_LOST", "PERIODS_LOST", "2015-01 to 2015-12 (12 periods), 1822102 in sum", false},
				{"loses its last year", without("t", "2024-05", "2024-06", "2024-07", "2024-08", "2024-09", "2024-1", "2025"), "PERIODS_LOST", "PERIODS_LOST", "2024-05 to 2025-04 (12 periods)", false},
				{"loses two months", without("t", "2020-03", "2020-04"), "PERIODS_LOST", "PERIODS_LOST", "2020-03 to 2020-04 (2 periods)", false},
				{"loses its citizenships", collapsed("nat", "XXX", "n"), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "CITIZENSHIP is lost in", false},
				{"has blank citizenships", collapsed("nat", "", "n"), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "CITIZENSHIP is lost in", true},
				{"loses its routes", collapsed("route", "All", "n"), "BREAKDOWN_LOST", "BREAKDOWN_LOST", "ROUTE is lost in", true},
				{"loses half of its rows", half, "TOTAL_CHANGED", "ROWS_LOST", "", false},
				{"is in thousandths", thousandfold("n"), "TOTAL_CHANGED", "TOTAL_CHANGED", "99900.0 %", false},
				{"has route and citizenship swapped", swapped("route", "nat"), "CODES_SWAPPED", "CODES_SWAPPED", "have in ", false},
				{"has type and route swapped", swapped("route", "type"), "CODES_SWAPPED", "CODES_SWAPPED", "have in ", true},
			})
		})
	}
}
