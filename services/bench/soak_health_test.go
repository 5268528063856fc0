package bench

import (
	"strings"
	"testing"
	"time"
)

// TestVerdict finds what grows while nothing is killed any more, and lets pass what does not.
func TestVerdict(t *testing.T) {
	t.Parallel()
	const looks = 16
	for name, test := range map[string]struct {
		change func(i int, s sample)
		fault  string
	}{
		"all stays as it is":                  {func(int, sample) {}, ""},
		"memory after a restart":              {func(i int, s sample) { s.resident["gateway"] = float64(100 + 40*min(i, looks/2)) }, ""},
		"memory that grows":                   {func(i int, s sample) { s.resident["gateway"] = float64(20 * i) }, "gateway has"},
		"memory above the bound, for a while": {func(i int, s sample) { s.resident["gateway"] = float64(100 + 500*(i%2)) }, "more than 512"},
		"goroutines that grow":                {func(i int, s sample) { s.goroutines["statistics"] = float64(30 * i) }, "goroutines in the last quarter"},
		"files that grow":                     {func(i int, s sample) { s.files["statistics"] = float64(30 * i) }, "open files in the last quarter"},
		"connections that nobody gives back":  {func(i int, s sample) { s.connections["statistics"] = i }, "15 connections"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h health
			for i := range looks {
				s := sample{
					resident: map[string]float64{"gateway": 100}, goroutines: map[string]float64{"statistics": 30},
					files: map[string]float64{"statistics": 20}, connections: map[string]int{"statistics": 5},
					submissions: int64(100 * i), disk: int64(1_000_000 * i),
				}
				test.change(i, s)
				h.add(time.Duration(i)*time.Minute, s)
			}
			err := h.verdict()
			if (err == nil) != (test.fault == "") || (err != nil && !strings.Contains(err.Error(), test.fault)) {
				t.Errorf("the verdict is %v, want %q", err, test.fault)
			}
		})
	}
}

// TestVerdictOnDisk finds that submissions take ever more of it.
func TestVerdictOnDisk(t *testing.T) {
	t.Parallel()
	var h health
	for i := range 16 {
		h.add(time.Duration(i)*time.Minute, sample{submissions: int64(100 * i), disk: int64(1) << i << 12})
	}
	if err := h.verdict(); err == nil || !strings.Contains(err.Error(), "bytes on disk") {
		t.Errorf("the verdict is %v", err)
	}
}
