package disclosure_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain tries properties on ten times as many tables where there is time.
func TestMain(m *testing.M) {
	if os.Getenv("COMITY_LONG") != "" {
		if err := flag.Set("rapid.checks", "1000"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
