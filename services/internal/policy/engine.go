// Package policy evaluates Rego.
package policy

import (
	"context"
	"errors"
	"log/slog"

	"github.com/comity-federation/comity/proto/filter"
)

// Engine holds the active policies.
type Engine struct{}

// Open loads and activates policies.
func Open(_ context.Context, _ []string, _ *slog.Logger) (*Engine, error) { return nil, errors.ErrUnsupported }

// Watch reloads changed policies until ctx ends.
func (e *Engine) Watch(_ context.Context) error { return errors.ErrUnsupported }

// SetData supplies data to policies.
func (e *Engine) SetData(_ context.Context, _ string, _ any) error { return errors.ErrUnsupported }

// Evaluate evaluates a rule.
func (e *Engine) Evaluate(_ context.Context, _ string, _, _ any) (string, error) {
	return "", errors.ErrUnsupported
}

// Condition evaluates a rule partially.
func (e *Engine) Condition(_ context.Context, _ string, _ any, _ string) (filter.Filter, error) {
	return filter.False(), errors.ErrUnsupported
}

// Revision names the active policies.
func (e *Engine) Revision() string { return "" }

// Err returns the last reload failure.
func (e *Engine) Err() error { return errors.ErrUnsupported }
