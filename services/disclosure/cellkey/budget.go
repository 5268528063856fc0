package cellkey

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Address is what a cell is called: see [AddressOf].
type Address [16]byte

// AddressOf returns the address of the cell that counts the codes of each dimension, in key order, in the periods. Codes and
// periods are sets: in another order, or named twice, they are the same. An address is made of what was asked for alone.
// The count and the key would find more questions equal, but what they cost would then tell whose records are the same,
// and which cells are empty.
func AddressOf(dataflow string, codes [][]string, periods []string) Address {
	message := appendText(make([]byte, 0, 256), dataflow)
	for _, set := range codes {
		message = appendSet(message, set)
	}
	sum := sha256.Sum256(appendSet(message, periods))
	return Address(sum[:len(Address{})])
}

// appendSet appends the texts, each once and sorted.
func appendSet(message []byte, set []string) []byte {
	if len(set) > 1 {
		set = slices.Compact(slices.Sorted(slices.Values(set)))
	}
	message = binary.AppendUvarint(message, uint64(len(set)))
	for _, text := range set {
		message = appendText(message, text)
	}
	return message
}

// Budget is how many different cells a caller may be told within a time. It counts cells, not questions: a cell that is
// asked for again, in another order or as part of another table, has the noise that it had, tells nothing and costs
// nothing. What tells more is other cells, of which an averaging attack needs many (Asghar and Kaafar, 2020);
// [Table.Recovery] says what so many tell.
type Budget struct {
	Window   time.Duration // how long a cell counts after it was told first; 0: for ever
	Capacity int           // cells
}

// Account is what one caller was told within the window. The zero value was told nothing. It is not safe for concurrent
// use.
type Account struct {
	cells map[Address]struct{}
	told  []told // oldest first
}

// told is when a cell was told first.
type told struct {
	cell Address
	at   time.Time
}

// Charge books the cells that are to be told now and were not told within the window; all or, where that is more than what
// is left, none: then the error is a fault of kind Exhausted, with the time from which on it would be enough as metadata
// "retryAt" in RFC 3339, if ever. A clock that goes back stands still.
func (a *Account) Charge(budget Budget, now time.Time, cells []Address) error {
	now = a.forget(budget, now)
	fresh := map[Address]struct{}{}
	for _, cell := range cells {
		if _, known := a.cells[cell]; !known {
			fresh[cell] = struct{}{}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if left := budget.Capacity - len(a.told); len(fresh) > left {
		return budget.refuse(a.told, len(fresh), max(left, 0))
	}
	if a.cells == nil {
		a.cells = map[Address]struct{}{}
	}
	for cell := range fresh {
		a.cells[cell] = struct{}{}
		a.told = append(a.told, told{cell, now})
	}
	return nil
}

// Left returns how many other cells the caller may be told now.
func (a *Account) Left(budget Budget, now time.Time) int {
	a.forget(budget, now)
	return max(budget.Capacity-len(a.told), 0)
}

// forget drops the cells whose time is over, and returns the time, which is never before that of the last cell.
func (a *Account) forget(budget Budget, now time.Time) time.Time {
	if len(a.told) == 0 {
		return now
	}
	if last := a.told[len(a.told)-1].at; now.Before(last) {
		now = last
	}
	over := 0
	for budget.Window > 0 && over < len(a.told) && now.Sub(a.told[over].at) >= budget.Window {
		delete(a.cells, a.told[over].cell)
		over++
	}
	if over > 0 {
		a.told = append([]told(nil), a.told[over:]...) // so that the memory of those before is let go
	}
	return now
}

// refuse returns the fault for the cells that are more than what is left.
func (b Budget) refuse(before []told, fresh, left int) error {
	refusal := fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the question asks for %d cells that you were not told yet; your budget has %d left of %d",
		fresh, left, b.Capacity).With("left", strconv.Itoa(left))
	if b.Window > 0 && fresh <= b.Capacity {
		enough := before[len(before)-b.Capacity+fresh-1].at.Add(b.Window)
		refusal.Message += ", and enough from " + enough.UTC().Format(time.RFC3339)
		refusal = refusal.With("retryAt", enough.UTC().Format(time.RFC3339))
	}
	return refusal
}

// Recovery returns about how probable it is that a caller who may be told so many cells, and chooses them well, computes a
// count exactly. Each way to part a large cell in two gives an estimate of it with twice the variance of the noise; the
// mean of many estimates, which is nearly normal, is right where it is less than ½ off. With a variance of 2, 20 cells tell
// a count in 6 of 10 cases, and 200 in 99 of 100.
func (t *Table) Recovery(cells int) float64 {
	estimates := float64(max(cells, 0)) / 2
	return math.Erf(math.Sqrt(estimates/t.parameters.Variance) / 4)
}
