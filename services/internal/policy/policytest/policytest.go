// Package policytest prepares policies for the tests of who uses them.
package policytest

import (
	"os"
	"path/filepath"
	"testing"
)

// Untested returns a copy of a directory of policies without their tests, which would run each time that the policies are
// opened: they stand in it and in the directories of the packages. The copy is removed when the test ends.
func Untested(t testing.TB, directory string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "policies")
	if err := os.CopyFS(copied, os.DirFS(directory)); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*_test.rego", "*/*_test.rego"} {
		tests, err := filepath.Glob(filepath.Join(copied, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range tests {
			if err := os.Remove(test); err != nil {
				t.Fatal(err)
			}
		}
	}
	return copied
}
