package tck_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/tck"
)

// named finds what stands between backquotes and is the name of a test: "directory Test", "directory Test: subtest".
var named = regexp.MustCompile("`([a-z/]+) ((?:Test|test_)[A-Za-z0-9_]+)(?:: ([^`]+))?`")

// TestFaults shows that the pages about faults and threats name tests that there are.
func TestFaults(t *testing.T) {
	t.Parallel()
	for page, least := range map[string]int{"faults.md": 70, "threats.md": 30} {
		text := read(t, filepath.Join("../../docs", page))
		found := named.FindAllStringSubmatch(text, -1)
		if len(found) < least {
			t.Errorf("%s names %d tests", page, len(found))
		}
		for _, name := range found {
			if sources := tests(t, name[1]); !declares(sources, name[2]) {
				t.Errorf("%s: there is no test %s in %s", page, name[2], name[1])
			} else if name[3] != "" && !strings.Contains(sources, name[3]) {
				t.Errorf("%s: %s of %s has no subtest %q", page, name[2], name[1], name[3])
			}
		}
		for _, id := range regexp.MustCompile("`tck ([^`]+)`").FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(tck.Cases(), func(c tck.Case) bool { return c.ID == id[1] }) {
				t.Errorf("%s: the conformance kit has no case %s", page, id[1])
			}
		}
	}
}

// TestFaultsOfCases shows that each row of the faults has a test, or says that it has none, and that the cases of the kit
// are about rows that there are.
func TestFaultsOfCases(t *testing.T) {
	t.Parallel()
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (F\d\d) \|.*$`).FindAllStringSubmatch(read(t, "../../docs/faults.md"), -1) {
		if rows[row[1]] != "" {
			t.Errorf("row %s stands twice", row[1])
		}
		rows[row[1]] = row[0]
		if !named.MatchString(row[0]) {
			t.Errorf("row %s has no test", row[1])
		}
	}
	if len(rows) != 24 {
		t.Errorf("there are %d rows", len(rows))
	}
	ids := map[string]bool{}
	for _, c := range tck.Cases() {
		if ids[c.ID] {
			t.Errorf("case %s stands twice", c.ID)
		}
		ids[c.ID] = true
		for _, fault := range c.Faults {
			if rows[fault] == "" {
				t.Errorf("case %s is about %s, which is no row", c.ID, fault)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tests returns the tests of a directory, which is below services or the root.
func tests(t *testing.T, directory string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../" + directory + "/*_test.go", "../../" + directory + "/*_test.go", "../../" + directory + "/*_test.rego"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			all.WriteString(read(t, file))
		}
	}
	return all.String()
}

func declares(sources, test string) bool {
	return regexp.MustCompile(`(?m)^(?:func ` + test + `\(t \*testing\.T\)|` + test + `\b.* if \{)`).MatchString(sources)
}
