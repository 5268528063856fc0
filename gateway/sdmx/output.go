package sdmx

import (
	"errors"
	"iter"

	"github.com/comity-federation/comity/proto/block"
)

// output is where a reader that walks through a message puts what it finds.
type output struct {
	rows  *rows
	yield func(*block.Block, error) bool
}

// errStopped ends reading where nobody wants to know more.
var errStopped = errors.New("reading was stopped")

// blocks gives what read finds, and then what is wrong with it.
func (o *output) blocks(read func() error) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		o.yield = yield
		err := read()
		var found *FileError
		switch {
		case errors.As(err, &found):
			o.rows.wrong(found)
		case err != nil && !errors.Is(err, errStopped):
			yield(nil, err)
			return
		}
		if o.rows.problem != nil {
			yield(nil, o.rows.problem)
		}
	}
}

// hand hands on the rows made so far, unless something was wrong before.
func (o *output) hand() error {
	if o.rows.problem != nil {
		o.rows.forget()
		return nil
	}
	if b := o.rows.take(); b != nil && !o.yield(b, nil) {
		return errStopped
	}
	return nil
}

// wrong notes what is wrong with a row, which is left out then.
func (o *output) wrong(line int, column, problem string) error {
	o.rows.drop()
	if !o.rows.wrong(&FileError{Line: line, Column: column, Problem: problem}) {
		return errStopped
	}
	return nil
}
