package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/cover"
)

const shared = "../../../policies"

// The shared policies pass their tests, and the tests reach all of them.
func TestSharedPoliciesAreCovered(t *testing.T) {
	files, err := read([]string{shared})
	if err != nil {
		t.Fatal(err)
	}
	modules, data, err := files.parse()
	if err != nil {
		t.Fatal(err)
	}
	coverage := cover.New()
	if err := runTests(t.Context(), modules, data, coverage); err != nil {
		t.Fatal(err)
	}
	report := coverage.Report(modules)
	for name, file := range report.Files {
		for _, gap := range file.NotCovered {
			t.Errorf("%s:%d is reached by no test", name, gap.Start.Row)
		}
	}
	if report.Coverage < 100 {
		t.Errorf("the tests reach %.2f %% of the policies", report.Coverage)
	}
}

// The directory is the package, and tests stand beside what they test.
func TestSharedPoliciesAreWhereTheirPackageSays(t *testing.T) {
	files, err := read([]string{shared})
	if err != nil {
		t.Fatal(err)
	}
	modules, _, err := files.parse()
	if err != nil {
		t.Fatal(err)
	}
	for name, module := range modules {
		directory := strings.TrimPrefix(filepath.Dir(name), "0/")
		want := "package comity." + directory
		if isTest(name) {
			want += "_test"
		} else if _, ok := modules[strings.TrimSuffix(name, ".rego")+"_test.rego"]; !ok {
			t.Errorf("%s has no tests beside it", name)
		}
		if got := module.Package.String(); got != want {
			t.Errorf("%s is of %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(shared, "README.md")); err != nil {
		t.Error(err)
	}
}
