package statistics

import (
	"fmt"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// violations collects what is wrong with the fields of a request: the first of it, since a request may be wrong throughout.
type violations []fault.Violation

const (
	maxViolations  = 100
	maxDescription = 1000 // bytes
)

func (v *violations) add(field, format string, args ...any) {
	switch {
	case len(*v) > maxViolations:
		return
	case len(*v) == maxViolations:
		*v = append(*v, fault.Violation{Description: "more is wrong, which is not listed"})
		return
	}
	description := fmt.Sprintf(format, args...)
	if len(description) > maxDescription {
		description = strings.ToValidUTF8(description[:maxDescription], "") + "…"
	}
	*v = append(*v, fault.Violation{Field: field, Description: description})
}

// fault returns the violations as one error, or nil where there are none.
func (v violations) fault(message string) error {
	if len(v) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, "INVALID_REQUEST", "%s: %s: %s", message, v[0].Field, v[0].Description)
	e.Violations = v
	return e
}
