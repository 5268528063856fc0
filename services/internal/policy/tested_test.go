package policy

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestTestsRunOnceForTheSameBytes(t *testing.T) {
	files := map[string]string{
		"x/x.rego": "package x\nanswer := data.y.limit", "y/data.yaml": "limit: 1",
		"x/x_test.rego": "package x_test\nimport data.x\ntest_it if x.answer == 2",
	}
	failing := directory(t, files)
	own := directory(t, map[string]string{"z/z.rego": "package z\nanswer := 1", "z/z_test.rego": "package z_test\nimport data.z\ntest_it if z.answer == 1"})
	log := slog.New(slog.DiscardHandler)
	revision, err := RevisionOf([]string{failing})
	if err != nil {
		t.Fatal(err)
	}
	known := func() *Tested {
		known := &Tested{}
		known.add(revision)
		return known
	}
	if _, err := known().Open(t.Context(), []string{failing, own}, log); err != nil {
		t.Errorf("what passed is tested again: %v", err)
	}
	if _, err := new(Tested).Open(t.Context(), []string{failing, own}, log); err == nil || !strings.Contains(err.Error(), "x_test.rego") {
		t.Errorf("what never passed: %v", err)
	}
	for name, text := range map[string]string{
		"x/x.rego": files["x/x.rego"] + "\n", "y/data.yaml": "limit: 0", "x/x_test.rego": files["x/x_test.rego"] + "\n", "w.json": "{}",
	} {
		changed := directory(t, files)
		put(t, filepath.Join(changed, name), text)
		if _, err := known().Open(t.Context(), []string{changed, own}, log); err == nil {
			t.Errorf("with another %s it is not tested", name)
		}
	}
	put(t, filepath.Join(own, "z/z_test.rego"), "package z_test\nimport data.z\ntest_it if z.answer == 2")
	if _, err := known().Open(t.Context(), []string{failing, own}, log); err == nil || strings.Contains(err.Error(), "x_test.rego") {
		t.Errorf("the second directory: %v", err)
	}
	full := known()
	for i := range maxPassed {
		full.add(strconv.Itoa(i))
	}
	if full.has(revision) || len(full.passed) > maxPassed {
		t.Errorf("it remembers %d", len(full.passed))
	}
}
