package cellkey

import (
	"encoding/binary"
	"errors"
	"time"
)

// accountVersion begins an account in bytes.
const accountVersion = 1

// MarshalBinary returns the account in bytes: for each time at which cells were told, the time in nanoseconds since 1970, how
// many there were, and their addresses.
func (a *Account) MarshalBinary() ([]byte, error) {
	data := make([]byte, 1, 1+len(a.told)*len(Address{})+64)
	data[0] = accountVersion
	for first := 0; first < len(a.told); {
		end := first + 1
		for end < len(a.told) && a.told[end].at.Equal(a.told[first].at) {
			end++
		}
		data = binary.BigEndian.AppendUint64(data, uint64(a.told[first].at.UnixNano()))
		data = binary.BigEndian.AppendUint32(data, uint32(end-first)) //nolint:gosec // memory ends before
		for _, told := range a.told[first:end] {
			data = append(data, told.cell[:]...)
		}
		first = end
	}
	return data, nil
}

var errAccount = errors.New("the account of cells that a caller was told cannot be read")

// UnmarshalBinary reads what MarshalBinary wrote; no bytes are the zero value.
func (a *Account) UnmarshalBinary(data []byte) error {
	*a = Account{}
	if len(data) == 0 {
		return nil
	}
	if data[0] != accountVersion {
		return errAccount
	}
	a.cells = make(map[Address]struct{}, len(data)/len(Address{}))
	a.told = make([]told, 0, len(data)/len(Address{}))
	for data = data[1:]; len(data) > 0; {
		const head = 8 + 4
		if len(data) < head {
			return errAccount
		}
		at := time.Unix(0, int64(binary.BigEndian.Uint64(data))) //nolint:gosec // written as it is read
		count := int(binary.BigEndian.Uint32(data[8:]))
		data = data[head:]
		if count == 0 || len(data)/len(Address{}) < count {
			return errAccount
		}
		for range count {
			cell := Address(data[:len(Address{})])
			a.cells[cell] = struct{}{}
			a.told = append(a.told, told{cell, at})
			data = data[len(Address{}):]
		}
	}
	if len(a.cells) != len(a.told) {
		return errAccount
	}
	return nil
}
