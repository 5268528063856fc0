package bench

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"
)

// step is a part of a run.
type step struct {
	name string
	run  func(context.Context) error
}

// walk takes the steps one after the other, and tells progress how long each took. Where one fails, the walk ends with what
// failed makes of it, or goes on where that is nothing.
func walk(ctx context.Context, progress io.Writer, steps []step, failed func(step string, err error) error) error {
	for _, s := range steps {
		begin := time.Now()
		if err := s.run(ctx); err != nil {
			if err := failed(s.name, err); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintf(progress, "  %-40s %6.1f s\n", s.name, time.Since(begin).Seconds())
	}
	return nil
}

// measure takes the steps that are asked for, and has what fails stand in the table.
func (b *bench) measure(ctx context.Context, steps []step) error {
	only, err := regexp.Compile(b.Only)
	if err != nil {
		return fmt.Errorf("reading what is to be measured: %w", err)
	}
	steps = slices.DeleteFunc(steps, func(s step) bool { return !only.MatchString(s.name) })
	return walk(ctx, b.progress, steps, func(step string, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.table.fail(step, err)
		return nil
	})
}
