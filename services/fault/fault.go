// Package fault holds the kinds of error that a caller of Comity can act upon. A domain says what went wrong with one
// of them; internal/rpc turns the kind into a status. Every other error is ours: the caller learns only that there
// was one.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what a caller can do about an error.
type Kind uint8

// The kinds.
const (
	_               Kind = iota
	Invalid              // change the request
	NotFound             // name something that exists
	Exists               // the thing exists already, and differs
	Precondition         // the thing is not in the state that the call needs
	Denied               // this caller may not
	Unauthenticated      // say who you are
	Exhausted            // ask for less, or later
	Unavailable          // try again
)

// Violation says which field of a request is wrong, and how.
type Violation struct {
	Field       string // by its name in JSON, such as "terms.validFrom"
	Description string
}

// Error is an error with a kind, a machine-readable reason and a sentence that the caller may see.
type Error struct {
	Kind       Kind
	Reason     string // a value of comity.types.v1.ErrorReason.Code by name
	Message    string
	Violations []Violation
	Metadata   map[string]string
	RetryAfter time.Duration // after which the same may succeed; 0: it is not known
	Cause      error         // for the log; the caller never sees it
}

// Error returns the message, with the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// With adds a fact for machines, such as the id of an agreement.
func (e *Error) With(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}

// Because adds the cause, for the log.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// New returns an error of the kind and reason.
func New(kind Kind, reason, format string, args ...any) *Error {
	return &Error{Kind: kind, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// InvalidField says that a field of the request is wrong.
func InvalidField(field, format string, args ...any) *Error {
	description := fmt.Sprintf(format, args...)
	return &Error{
		Kind: Invalid, Reason: "INVALID_REQUEST", Message: field + ": " + description,
		Violations: []Violation{{Field: field, Description: description}},
	}
}

// Missing says that a named thing does not exist.
func Missing(format string, args ...any) *Error {
	return New(NotFound, "NOT_FOUND", format, args...)
}

// Is reports whether err is a fault of the kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// Reason returns the machine-readable reason of err, or "".
func Reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}
