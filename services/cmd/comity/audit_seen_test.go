package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

func TestSeenCheckpoints(t *testing.T) {
	shown := func(log string, size int) string { return fmt.Sprintf("comity/%s/log\n%d\nroot\n", log, size) }
	line := func(log string, size int) string {
		return fmt.Sprintf(`{"log":%q,"partner":"bb","checkpoint":%q}`, log, shown(log, size))
	}
	file := filepath.Join(t.TempDir(), "aa.log")
	content := strings.Join([]string{`{"checkpoint":"x","verifierKey":"y"}`, line("aa", 5), line("bb", 9), `{"kind":"DECISION"}`, line("aa", 7)}, "\n")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := seenIn(file)
	t.Run("stand between the head of an exported log and its entries", func(t *testing.T) {
		if len(seen) != 2 || seen[0].Log != "aa" || seen[0].Note != shown("aa", 5) || seen[1].Log != "bb" {
			t.Errorf("%+v", seen)
		}
	})
	t.Run("are left where a log was exported before somebody saw them", func(t *testing.T) {
		for size, want := range map[int]int{4: 0, 5: 1, 9: 2} {
			if got := within(&sharingpb.GetCheckpointResponse{Checkpoint: shown("aa", size)}, seen); len(got) != want {
				t.Errorf("of a log of %d entries %d are left over", size, len(got))
			}
		}
	})
	t.Run("are none in a file that cannot be read", func(t *testing.T) {
		if got := seenIn(filepath.Join(t.TempDir(), "none")); len(got) != 0 || checkpointSize("x") != 0 {
			t.Errorf("%+v", got)
		}
	})
}
