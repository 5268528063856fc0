package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells of each step in a line: what, what came of it, and how long it took.
type progress struct {
	out   io.Writer
	begin time.Time
}

// step runs a step. What it returns stands behind its name.
func (p progress) step(name string, run func() (string, error)) error {
	start := time.Now()
	_, _ = fmt.Fprintf(p.out, "  %-34s ", name)
	result, err := run()
	if err != nil {
		_, _ = fmt.Fprintf(p.out, "failed after %.1f s\n", time.Since(start).Seconds())
		return fmt.Errorf("%s: %w", name, err)
	}
	_, _ = fmt.Fprintf(p.out, "%-50s %5.1f s\n", result, time.Since(start).Seconds())
	return nil
}

func (p progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}
