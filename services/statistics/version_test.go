package statistics_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/statistics"
)

func versions(t testing.TB, texts ...string) []statistics.Version {
	t.Helper()
	made := make([]statistics.Version, len(texts))
	for i, text := range texts {
		var err error
		if made[i], err = statistics.ParseVersion(text); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	t.Run("it writes a version as it was read", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"1", "0", "1.0", "10.2", "1.0.0", "0.1.0", "1.2.3-draft", "1.0.0-0.3.7", "1.0.0-x.7.z.92", "1.0.0--", "1.0.0-0a"} {
			v, err := statistics.ParseVersion(text)
			if err != nil || v.String() != text {
				t.Errorf("ParseVersion(%q) = %s, %v", text, v, err)
			}
		}
	})
	t.Run("it refuses what is no version", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{
			"", "x", "01", "1.", ".1", "1.0.", "1.0.0.0", "1.0-draft", "1.0.0-", "1.0.0-a..b", "1.0.0-01", "1.0.0-ü", "v1.0.0", "1.0.0+1",
			" 1", "-1", "1.0.0-a b", "99999999999999999999.0.0", "3000000000", "1.0.0-" + strings.Repeat("a", 100),
		} {
			if v, err := statistics.ParseVersion(text); err == nil {
				t.Errorf("ParseVersion(%q) = %s", text, v)
			}
		}
	})
	t.Run("it takes extensions and the major part 0 for drafts", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]bool{"1.0.0": false, "1.0.0-draft": true, "0.9.0": true, "1.0": false, "0.1": false, "2": false} {
			if got := versions(t, text)[0].IsDraft(); got != want {
				t.Errorf("IsDraft(%s) = %v", text, got)
			}
		}
	})
	t.Run("it orders versions", func(t *testing.T) {
		t.Parallel()
		ascending := []string{
			"0.9.0", "1", "1.0", "1.0.0-2", "1.0.0-11", "1.0.0-draft", "1.0.0-draft.1", "1.0.0-draft.prerelease", "1.0.0-prerelease",
			"1.0.0-prerelease.2", "1.0.0-prerelease.11", "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10", "1.10.0", "2", "2.0.0-draft", "2.0.0", "10.0.0",
		}
		made := versions(t, ascending...)
		slices.Reverse(made)
		slices.SortFunc(made, statistics.Version.Compare)
		var got []string
		for _, v := range made {
			got = append(got, v.String())
		}
		if diff := cmp.Diff(ascending, got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

// The rows are those of "Query syntax for specific, latest or all artefact versions" of SDMX REST, with what they choose.
func TestVersionQuery(t *testing.T) {
	t.Parallel()
	all := versions(t,
		"1", "2", "1.0", "1.3", "2.1", "0.9.0", "1.0.0", "1.1.0", "1.2.0-draft", "2.0.0-draft", "2.0.0", "2.3.0", "2.3.1", "2.3.4", "2.4.0", "2.5.0-draft", "3.0.0-draft")
	for query, want := range map[string]string{
		"2": "2", "1.3": "1.3", "1.1.0": "1.1.0", "1.2.0-draft": "1.2.0-draft", "1.2.0": "", "4.0.0": "",
		"+": "2.4.0", "+.0.0": "2.4.0", "1+.0.0": "2.4.0", "1+": "2.4.0", "2.3+": "2.4.0", "2.+.0": "2.4.0", "2.0+.0": "2.4.0",
		"1.+.0": "1.1.0", "2.3.+": "2.3.4", "2.3.0+": "2.3.4", "2.3.2+": "2.3.4", "2.3.5+": "", "2+.3.1": "2.4.0", "3+.0.0": "",
		"2.3+.1": "2.4.0", "1.0+.0": "1.1.0", "1.2+.0": "", "0+.9.0": "2.4.0", "0.9.0+": "",
		"~": "3.0.0-draft", "~.0": "2.1", "0~.0": "2.1", "~.0.0": "3.0.0-draft", "0~.0.0": "3.0.0-draft", "1.~": "1.3", "1.0~": "1.3",
		"1.~.0": "1.2.0-draft", "1.0~.0": "1.2.0-draft", "2.3.~": "2.3.4", "1.4~": "", "1~.3": "2.1", "2~.3.1": "3.0.0-draft",
		"2.3~.1": "2.5.0-draft", "2.3.1~": "2.3.4", "2.0.0~": "2.0.0", "1~": "2",
		"*.0": "1.0 1.3 2.1", "0*.0": "1.0 1.3 2.1", "1.*": "1.0 1.3", "1.*.0": "1.0.0 1.1.0 1.2.0-draft", "2.3.*": "2.3.0 2.3.1 2.3.4",
		"1*.3": "1.3 2.1", "2.3*.1": "2.3.1 2.3.4 2.4.0 2.5.0-draft", "2.3.1*": "2.3.1 2.3.4", "2*.4.0": "2.4.0 2.5.0-draft 3.0.0-draft",
		"*": "0.9.0 1 1.0 1.0.0 1.1.0 1.2.0-draft 1.3 2 2.0.0-draft 2.0.0 2.1 2.3.0 2.3.1 2.3.4 2.4.0 2.5.0-draft 3.0.0-draft",
	} {
		q, err := statistics.ParseVersionQuery(query)
		if err != nil {
			t.Errorf("ParseVersionQuery(%q): %v", query, err)
			continue
		}
		var got []string
		for _, v := range q.Select(all) {
			got = append(got, v.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s chooses %q, want %q", query, got, want)
		}
	}
	for _, wrong := range []string{"++", "1+.2+.0", "+1", "1.0.0-draft+", "1+-draft", "1.0.0+-draft", "1.0+0", "~~", "*.", "1..+", "1.0.0.+", "x+", "1 +"} {
		if _, err := statistics.ParseVersionQuery(wrong); err == nil {
			t.Errorf("ParseVersionQuery(%q): no error", wrong)
		}
	}
}

func TestParseRef(t *testing.T) {
	t.Parallel()
	t.Run("it writes a reference as it was read", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"A:B", "A.B-C:D_E@$(1.0.0)", "SDMX:CL_FREQ(2.1)", "A:B(2.3+.1)", "A:B(~)", "A:B(1.0.0-draft.2)"} {
			r, err := statistics.ParseRef(text)
			if err != nil || r.String() != text {
				t.Errorf("ParseRef(%q) = %s, %v", text, r, err)
			}
		}
		item, err := statistics.ParseItemRef("A:CS(1.0+.0).SEX")
		if err != nil || item.String() != "A:CS(1.0+.0).SEX" || item.Scheme.Version != "1.0+.0" {
			t.Errorf("ParseItemRef = %s, %v", item, err)
		}
		for text, want := range map[string]string{
			"Codelist=A:B(1.0.0)": "Codelist=A:B(1.0.0)",
			"urn:sdmx:org.sdmx.infomodel.registry.DataConstraint=A.B:C(1.0)": "DataConstraint=A.B:C(1.0)",
		} {
			id, err := statistics.ParseArtefactID(text)
			if err != nil || id.String() != want {
				t.Errorf("ParseArtefactID(%q) = %s, %v", text, id, err)
			}
		}
	})
	t.Run("it refuses what is none", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"", ":", "A", "A:", ":B", "A:B(", "A:B()", "A:B(1.0.0", "A:B(1.0.0))", "A:B(x)", "1A:B", "A:B C", "A:B,C", "A:B(1.0.0)x", "A:\x00", "A:" + strings.Repeat("B", 1000)} {
			if r, err := statistics.ParseRef(text); err == nil {
				t.Errorf("ParseRef(%q) = %s", text, r)
			}
		}
		for _, text := range []string{"", "A:CS.SEX", "A:CS(1.0.0).", "A:CS(1.0.0)", "A:CS(1.0.0).A B", ").X"} {
			if r, err := statistics.ParseItemRef(text); err == nil {
				t.Errorf("ParseItemRef(%q) = %s", text, r)
			}
		}
		for _, text := range []string{"", "A:B(1.0.0)", "Nothing=A:B(1.0.0)", "Codelist=A:B", "Codelist=A:B(~)", "Codelist=", "urn:sdmx:org.sdmx.infomodel.=A:B(1.0.0)"} {
			if id, err := statistics.ParseArtefactID(text); err == nil {
				t.Errorf("ParseArtefactID(%q) = %s", text, id)
			}
		}
	})
}

func FuzzVersionQuery(f *testing.F) {
	for _, seed := range []string{"1.0.0", "2.3+.1", "~", "*", "+.0.0", "1.0.0-draft.1", "1.*.0", "1..+", "", "0~.0"} {
		f.Add(seed)
	}
	all := versions(f, "1", "1.0", "0.1.0", "1.0.0-draft", "1.0.0", "1.1.0", "2.0.0")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := statistics.ParseVersion(text); err == nil && v.String() != text {
			t.Errorf("ParseVersion(%q) = %s", text, v)
		}
		q, err := statistics.ParseVersionQuery(text)
		if err != nil {
			return
		}
		chosen := q.Select(all)
		if !slices.IsSortedFunc(chosen, statistics.Version.Compare) {
			t.Errorf("%q chooses %v, which is not sorted", text, chosen)
		}
		if strings.Contains(text, "+") && slices.ContainsFunc(chosen, statistics.Version.IsDraft) {
			t.Errorf("%q chooses the draft %v", text, chosen)
		}
		if !strings.Contains(text, "*") && len(chosen) > 1 {
			t.Errorf("%q chooses %d versions", text, len(chosen))
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, seed := range []string{"A:B", "A:B(1.0.0)", "A:B(2.3+.1).C", "Codelist=A:B(1.0)", "urn:sdmx:org.sdmx.infomodel.codelist.Codelist=A:B(1.0.0)", ":", ")."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := statistics.ParseRef(text); err == nil && r.String() != text {
			t.Errorf("ParseRef(%q) = %s", text, r)
		}
		if r, err := statistics.ParseItemRef(text); err == nil && r.String() != text {
			t.Errorf("ParseItemRef(%q) = %s", text, r)
		}
		if id, err := statistics.ParseArtefactID(text); err == nil && !strings.HasSuffix(text, id.String()) {
			t.Errorf("ParseArtefactID(%q) = %s", text, id)
		}
	})
}
