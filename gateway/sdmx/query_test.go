package sdmx

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
)

func testStructure() *Structure {
	return &Structure{
		Dataflow: Ref{"COMITY", "BORDER", "1.0.0"}, DataStructure: Ref{"COMITY", "BORDER", "1.0.0"}, Names: Names{"en": "Border", "fr": "Frontière"},
		Dimensions: []Component{
			{ID: "FREQ"},
			{ID: "SECTION", Names: Names{"en": "Section"}},
			{ID: "CITIZENSHIP", Names: Names{"en": "Citizenship", "fr": "Citoyenneté"}, Codes: map[string]Code{
				"SYR": {Names: Names{"en": "Syria", "fr": "Syrie"}, Parent: "_T"}, "AFG": {Names: Names{"en": "Afghanistan"}, Parent: "_T"}, "_T": {Names: Names{"en": "Total"}},
			}},
		},
		Attributes: []Component{{ID: "OBS_STATUS"}, {ID: "COMMENT"}},
	}
}

func bind(t *testing.T, path, query string) (*Bound, error) {
	t.Helper()
	q, err := ParseDataQuery(path, query)
	if err != nil {
		return nil, err
	}
	return q.Bind(testStructure())
}

func TestKeysBecomeSelectionsAndWhatIsLeftAFilter(t *testing.T) {
	and, eq, in := filter.And, filter.Eq, filter.In
	selection := func(text string) (list []Selection) {
		for part := range strings.FieldsSeq(text) {
			dimension, codes, _ := strings.Cut(part, "=")
			list = append(list, Selection{dimension, strings.Split(codes, "|")})
		}
		return list
	}
	for _, test := range []struct {
		key        string
		selections string
		filter     filter.Filter
	}{
		{"", "", filter.True()},
		{"*", "", filter.True()},
		{"all", "", filter.True()},
		{"..", "", filter.True()},
		{"*.*.*", "", filter.True()},
		{"M", "FREQ=M", filter.True()},
		{"M.*.SYR", "FREQ=M CITIZENSHIP=SYR", filter.True()},
		{"M..SYR", "FREQ=M CITIZENSHIP=SYR", filter.True()},
		{"M.*.SYR+AFG", "FREQ=M CITIZENSHIP=SYR|AFG", filter.True()},
		{"M.a%2Eb%2Bc%2Cd%2Fe.*", "FREQ=M SECTION=a.b+c,d/e", filter.True()},
		{"M.*.SYR,M.*.AFG", "FREQ=M CITIZENSHIP=SYR|AFG", filter.True()},
		{"M.*.SYR,M.*.SYR", "FREQ=M CITIZENSHIP=SYR", filter.True()},
		{"M.*.SYR,A.*.AFG", "FREQ=M|A CITIZENSHIP=SYR|AFG", filter.Or(
			and(eq("FREQ", "M"), eq("CITIZENSHIP", "SYR")), and(eq("FREQ", "A"), eq("CITIZENSHIP", "AFG")))},
		{"M.*.SYR+AFG,M.S.*", "FREQ=M", filter.Or(
			and(eq("FREQ", "M"), in("CITIZENSHIP", "SYR", "AFG")), and(eq("FREQ", "M"), eq("SECTION", "S")))},
		{"M.*.SYR,*", "", filter.True()},
	} {
		b, err := bind(t, "dataflow/COMITY/BORDER/1.0.0/"+test.key, "")
		if err != nil {
			t.Errorf("%s: %v", test.key, err)
			continue
		}
		if diff := cmp.Diff(selection(test.selections), b.Selections); diff != "" {
			t.Errorf("%s: %s", test.key, diff)
		}
		if diff := cmp.Diff(test.filter, b.Filter); diff != "" {
			t.Errorf("%s: %s", test.key, diff)
		}
	}
	for _, key := range []string{"M.*.SYR.2023", "M,", ",M", "M.+.*", "M.A+.*", "M.A+*.*"} {
		var e *Error
		if _, err := bind(t, "dataflow/COMITY/BORDER/1.0.0/"+key, ""); !errors.As(err, &e) || e.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// passing returns the values of the component that pass, as the query says.
func passing(t *testing.T, component, condition string, values ...string) string {
	t.Helper()
	c, err := ParseCondition(component, condition)
	if err != nil {
		t.Fatalf("%s: %v", condition, err)
	}
	f, err := c.filter("FREQ")
	if err != nil {
		t.Fatalf("%s: %v", condition, err)
	}
	if err := f.Check(); err != nil {
		t.Errorf("%s: %v", condition, err)
	}
	var passed []string
	for _, v := range values {
		row := map[string]string{component: v}
		if p, err := period.Parse(v); err == nil && component == block.TimePeriod {
			row["FREQ"] = string(p.Frequency)
		}
		if f.Match(func(id string) string { return row[id] }) {
			passed = append(passed, v)
		}
	}
	return strings.Join(passed, " ")
}

// The examples of the specification (SDMX REST 2, data queries), each over the values A to E.
func TestConditionsMeanWhatTheSpecificationSays(t *testing.T) {
	for condition, want := range map[string]string{
		"A": "A", "A,B": "A B", "eq:A": "A", "ge:B": "B C D E", "gt:B": "C D E", "lt:B": "A", "le:B": "A B",
		"ge:A+le:B": "A B", "A,B+C": "A", "ge:A+le:B,ge:D+le:E": "A B D E",
		"ne:A,B": "B C D E", "ne:A+B": "B", "ne:A,ne:B": "A B C D E", "ne:A+ne:B": "C D E",
		"co:A": "A", "nc:A": "B C D E", "sw:B": "B", "ew:C,ew:D": "C D",
	} {
		if have := passing(t, "X", condition, "A", "B", "C", "D", "E"); have != want {
			t.Errorf("c[X]=%s passes %s, want %s", condition, have, want)
		}
	}
	if have := passing(t, "X", "1A: a label", "1A", "1A: a label"); have != "1A: a label" {
		t.Errorf("a colon in a value is read as an operator: %q", have)
	}
}

func TestConditionsOnTimeCompareSpansOfDays(t *testing.T) {
	values := []string{"2022", "2022-12", "2022-Q4", "2023", "2023-01", "2023-W01", "2023-01-01", "2023-Q1", "2023-06", "2023-Q2", "2023-S1", "2023-12", "2024-01", "2024"}
	for condition, want := range map[string]string{
		"ge:2023+le:2023":               "2023 2023-01 2023-W01 2023-01-01 2023-Q1 2023-06 2023-Q2 2023-S1 2023-12",
		"gt:2023":                       "2024-01 2024",
		"lt:2023":                       "2022 2022-12 2022-Q4",
		"ge:2023-02+le:2023-06":         "2023-06 2023-Q2",
		"2023":                          "2023",
		"2023-M01,2024-A1":              "2023-01 2024",
		"ge:2024,le:2022":               "2022 2022-12 2022-Q4 2024-01 2024",
		"sw:2023-Q":                     "2023-Q1 2023-Q2",
		"ge:2023-01-02+le:2023-Q1":      "2023-W01",
		"ne:2023+ge:2023+le:2023-06-30": "2023-01 2023-W01 2023-01-01 2023-Q1 2023-06 2023-Q2 2023-S1",
	} {
		if have := passing(t, block.TimePeriod, condition, values...); have != want {
			t.Errorf("%s passes %s, want %s", condition, have, want)
		}
	}
}

func TestQueryReadsSpansOfTime(t *testing.T) {
	for query, want := range map[string]string{
		"c[TIME_PERIOD]=ge:2023-01+le:2023-12":            "2023-01..2023-12 true",
		"c%5BTIME_PERIOD%5D=ge%3A2023-M01%2Ble%3A2023-12": "2023-01..2023-12 true",
		"c[TIME_PERIOD]=gt:2022+lt:2024-Q1":               "2023..2023-Q4 true",
		"startPeriod=2023&endPeriod=2023-Q2":              "2023..2023-Q2 true",
		"c[TIME_PERIOD]=ge:2023&endPeriod=2024":           "2023..2024 true",
		"c[TIME_PERIOD]=ge:2023&startPeriod=2022":         "2022.. false",
		"c[TIME_PERIOD]=2023":                             ".. false",
		"c[TIME_PERIOD]=ge:2020+le:2021,ge:2023":          ".. false",
		"c[TIME_PERIOD]=ge:2020+ge:2021":                  ".. false",
	} {
		b, err := bind(t, "dataflow/COMITY/BORDER", query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if have := fmt.Sprintf("%s..%s %v", b.StartPeriod, b.EndPeriod, b.Filter.IsTrue()); have != want {
			t.Errorf("%s: %s, want %s", query, have, want)
		}
	}
}

func TestConditionsOnOpenDimensionsMeanTheSameAsTheKey(t *testing.T) {
	key, err := bind(t, "dataflow/COMITY/BORDER/1.0.0/M.*.AFG+SYR", "")
	if err != nil {
		t.Fatal(err)
	}
	for path, query := range map[string]string{
		"M":     "c[CITIZENSHIP]=SYR,AFG",
		"*":     "c[FREQ]=M&c[CITIZENSHIP]=eq:AFG,eq:SYR",
		"M.*,M": "c[CITIZENSHIP]=AFG%2CSYR",
	} {
		b, err := bind(t, "dataflow/COMITY/BORDER/1.0.0/"+path, query)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(key, b); diff != "" {
			t.Errorf("%s?%s: %s", path, query, diff)
		}
	}
	b, err := bind(t, "dataflow/COMITY/BORDER/1.0.0/M.*.AFG+SYR", "c[CITIZENSHIP]=SYR&c[SECTION]=ne:_T&c[OBS_VALUE]=ge:1e1")
	if err != nil {
		t.Fatal(err)
	}
	want := filter.And(filter.Eq("CITIZENSHIP", "SYR"), filter.Compare(filter.OpNe, "SECTION", "_T"), filter.Compare(filter.OpGe, "OBS_VALUE", "10"))
	if diff := cmp.Diff(want, b.Filter); diff != "" {
		t.Error(diff)
	}
}

func TestVersionsMatchPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, version string
		want             bool
	}{
		{"1.0.0", "1.0.0", true},
		{"1.0.0", "1.0.1", false},
		{"1.0", "1.0.1", true},
		{"2.3+.1", "2.4.0", true},
		{"2.3+.1", "2.2.9", false},
		{"2.3+.1", "2.3.1", true},
		{"1+.0.0", "3.1.0", true},
		{"1.*", "1.9.9", true},
		{"1.*", "2.0.0", false},
		{"~1.0.0", "1.0.0", false},
		{"1~", "1.0.0", true},
	} {
		if have := matchesVersion(test.pattern, test.version); have != test.want {
			t.Errorf("%s matches %s: %v", test.pattern, test.version, have)
		}
	}
	ordered := []string{"0.9.0", "1.0.0-draft", "1.0.0", "1.2.0", "1.10.0", "2.0"}
	for i := range len(ordered) - 1 {
		if CompareVersions(ordered[i], ordered[i+1]) >= 0 || CompareVersions(ordered[i+1], ordered[i]) <= 0 {
			t.Errorf("%s is not before %s", ordered[i], ordered[i+1])
		}
	}
}

func TestNegotiationChoosesByQuality(t *testing.T) {
	const j, c = "application/vnd.sdmx.data+json;version=2.1.0", "application/vnd.sdmx.data+csv;version=2.1.0;charset=utf-8"
	for _, test := range []struct{ format, version, accept, want string }{
		{"", "", "", j},
		{"", "", "*/*", j},
		{"", "", "application/*", j},
		{"", "", "text/csv", "text/csv;charset=utf-8"},
		{"", "", "text/*", "text/csv;charset=utf-8"},
		{"", "", "application/json", "application/json"},
		{"", "", "application/vnd.sdmx.data+csv", c},
		{"", "", "application/vnd.sdmx.data+csv;version=2.0.0", strings.Replace(c, "2.1", "2.0", 1)},
		{"", "", "application/vnd.sdmx.data+csv;version=2", c},
		{"", "", "application/vnd.sdmx.data+csv; labels=both", strings.Replace(c, ";charset", ";labels=both;charset", 1)},
		{"", "", "application/vnd.sdmx.data csv;version=2.1.0", c},
		{"", "", "text/html, application/xhtml+xml, */*;q=0.8", j},
		{"", "", "application/vnd.sdmx.data+json;q=0.5, text/csv;q=0.9", "text/csv;charset=utf-8"},
		{"", "", "application/vnd.sdmx.data+json;version=1.0.0, application/vnd.sdmx.data+csv;q=0.1", c},
		{"", "", "application/vnd.sdmx.data+json;q=0, */*", c},
		{"", "", "*/*;q=0.1, application/vnd.sdmx.data+csv;q=0.1", c},
		{"csvdata", "", "application/json", c},
		{"jsondata", "2.1", "", j},
		{"csvfilewithlabels", "", "", strings.Replace(c, ";charset", ";labels=both;charset", 1)},
	} {
		f, err := Negotiate(test.format, test.version, test.accept)
		if have := f.ContentType(); err != nil || have != test.want {
			t.Errorf("%+v: %s %v", test, have, err)
		}
	}
	for _, test := range [][3]string{
		{"", "", "application/xml"},
		{"", "", "application/vnd.sdmx.data+json;version=1.0.0"},
		{"", "", "*/*;q=0"},
		{"", "", "nonsense"},
		{"", "", "text/csv;keys=both"},
		{"", "", "text/csv;labels=all"},
		{"genericdata", "", "*/*"},
		{"jsondata", "3", "*/*"},
	} {
		var e *Error
		if f, err := Negotiate(test[0], test[1], test[2]); !errors.As(err, &e) || e.Status != http.StatusNotAcceptable {
			t.Errorf("%v: %v %v", test, f, err)
		}
	}
	for header, want := range map[string]string{"": "", "fr-CA, en;q=0.8": "fr", "en;q=0.2, fr;q=0.9": "fr", "*": "", "de;q=x, en": "en"} {
		if have := Language(header); have != want {
			t.Errorf("%s: %s", header, have)
		}
	}
}

func FuzzDataQuery(f *testing.F) {
	for _, seed := range [][2]string{
		{"dataflow/COMITY/BORDER/1.0.0/M.*.SYR+AFG,A..", "c[TIME_PERIOD]=ge:2023-01+le:2023-12&lastNObservations=3"},
		{"*/*/*/1.0+.0/all/", "c%5BX%5D=ne:A,B+C&asOf=2024-01-31T12:00:00+01:00"},
		{"dataflow/A/B&format=jsondata", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	s := testStructure()
	f.Fuzz(func(t *testing.T, path, query string) {
		q, err := ParseDataQuery(path, query)
		if err == nil {
			var b *Bound
			if b, err = q.Bind(s); err == nil {
				if err := b.Filter.Check(); err != nil {
					t.Error(err)
				}
				for _, selection := range b.Selections {
					if len(selection.Codes) == 0 || s.dimension(selection.Dimension) < 0 {
						t.Errorf("selection %v", selection)
					}
				}
			}
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%T is no error for clients: %v", err, err)
		}
	})
}

func FuzzAccept(f *testing.F) {
	f.Add("application/vnd.sdmx.data+json;version=2.1.0;q=0.5, text/*;labels=\"both\"")
	f.Fuzz(func(t *testing.T, header string) {
		for _, r := range ParseAccept(header) {
			if !(r.Q >= 0 && r.Q <= 1) {
				t.Errorf("q is %v", r.Q)
			}
		}
		format, err := Negotiate("", "", header)
		if (err == nil) != (format.Name == JSON || format.Name == CSV) {
			t.Errorf("%v %v", format, err)
		}
		_ = Language(header)
	})
}
