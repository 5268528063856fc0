package sharing

import "context"

// Store keeps what a [Service] knows.
type Store interface {
	// Write runs work in one transaction: all of it is kept, or nothing.
	Write(ctx context.Context, work func(Tx) error) error
}

// Tx is a transaction of a [Store].
type Tx interface{}
