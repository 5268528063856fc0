package disclosure_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain tries properties on fifty tables each, and on a thousand where there is time.
func TestMain(m *testing.M) {
	checks := "50"
	if long() {
		checks = "1000"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// long reports whether tests may take their time.
func long() bool { return os.Getenv("COMITY_LONG") != "" }
