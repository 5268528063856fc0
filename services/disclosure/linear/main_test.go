package linear_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain tries properties ten times as often where there is time.
func TestMain(m *testing.M) {
	if long() {
		if err := flag.Set("rapid.checks", "1000"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// long reports whether tests may take their time.
func long() bool { return os.Getenv("COMITY_LONG") != "" }
