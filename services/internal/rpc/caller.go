package rpc

import "context"

// Person is who a call is made for, as a verified token says.
type Person struct {
	Subject string
	Roles   []string
	Agency  string // of the state, to which the person belongs; "": to none, or to all
}

// Caller is who calls: a workload by its certificate, and perhaps a person by a token.
type Caller struct {
	State   string  // of the workload
	Service string  // of the workload: "gateway", "statistics", "risk", "sharing" or "operator"
	Person  *Person // nil: the call carries no token
}

type callerKey struct{}

// CallerFrom returns who makes the call that ctx belongs to, and the zero Caller outside of a call.
func CallerFrom(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	return caller
}

// WithCaller returns a context in which [CallerFrom] returns c. Servers set it from what they verified; others use it
// in tests only.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
