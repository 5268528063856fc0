package cellkey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Key is a fraction in units of 2⁻⁶⁴: of a record, or, summed, of a cell. The sum of keys wraps around, which is its
// fraction modulo 1: exact, and the same in any order.
type Key uint64

// Float returns the key as a number from 0 up to and, rounded, 1.
func (k Key) Float() float64 { return math.Ldexp(float64(k), -64) }

// FromFloat returns the largest key that is not above the fraction; ok is false where that is not from 0 up to but not 1.
func FromFloat(fraction float64) (key Key, ok bool) {
	if !(fraction >= 0 && fraction < 1) { // not a number is neither
		return 0, false
	}
	return Key(math.Ldexp(fraction, 64)), true
}

// FromCounter returns the cell key of a sum of 32-bit record keys modulo 2³², as event counters have it. The key of the
// sum of two counters is the sum of their keys.
func FromCounter(sum uint32) Key { return Key(sum) << 32 }

// minSecret is how many bytes a secret has at least: as many as a hash.
const minSecret = sha256.Size

// Keys makes keys under a secret. The secret may never change, or the noise of all cells does, and the mean of the old and
// the new tells more than either. It is not safe for concurrent use.
type Keys struct {
	mac     hash.Hash // HMAC-SHA-256
	message []byte
	sum     [sha256.Size]byte
}

// NewKeys returns the maker of keys under the secret, which has 32 bytes or more that only this state knows.
func NewKeys(secret []byte) (*Keys, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret of cell keys has %d bytes, fewer than %d", len(secret), minSecret)
	}
	return &Keys{mac: hmac.New(sha256.New, secret)}, nil
}

// Record returns the key of the record of the id: the first 64 bits of HMAC-SHA-256.
func (k *Keys) Record(id string) Key {
	k.message = append(k.message[:0], id...)
	return k.key()
}

// Base is a cell of data that came as aggregates, of which there is no finer one.
type Base struct {
	Dataflow string   // such as "US:ENCOUNTERS(1.0.0)"
	Codes    []string // one for each dimension, in key order
	Period   string   // such as "2024-03"
	Count    int64
}

// Base returns the key of a base cell; that of a sum of base cells is the sum of their keys. As with records, nothing
// counts nothing, so an empty cell has the key 0 and a total of one base cell alone has the noise of that cell; and a
// revised count is of other records and has another key: with the key that it had, the difference of what was published
// before and after would be the true one.
func (k *Keys) Base(cell Base) Key {
	if cell.Count == 0 {
		return 0
	}
	k.message = appendText(k.message[:0], cell.Dataflow)
	k.message = binary.AppendUvarint(k.message, uint64(len(cell.Codes)))
	for _, code := range cell.Codes {
		k.message = appendText(k.message, code)
	}
	k.message = appendText(k.message, cell.Period)
	k.message = binary.AppendVarint(k.message, cell.Count)
	return k.key()
}

// appendText appends the text behind its length, so that no two lists of texts look the same.
func appendText(message []byte, text string) []byte {
	return append(binary.AppendUvarint(message, uint64(len(text))), text...)
}

// key returns that of the message.
func (k *Keys) key() Key {
	k.mac.Reset()
	_, _ = k.mac.Write(k.message) // a hash never fails
	return Key(binary.BigEndian.Uint64(k.mac.Sum(k.sum[:0])))
}

// decimals is how many decimals a record key can have, and one its unit.
const (
	decimals = 18
	one      = 1_000_000_000_000_000_000
)

// DecimalSum sums record keys that are given as decimal fractions, as microdata have them that were prepared elsewhere.
// The sum is exact and the same in any order, which sums of floating point numbers are not.
type DecimalSum struct{ sum uint64 } // below one

// Add adds a key such as 0.99310182 or 4.2e-05, from 0 up to but not 1, with at most 18 decimals.
func (s *DecimalSum) Add(fraction string) error {
	n, ok := parseDecimal(fraction)
	if !ok {
		return fmt.Errorf("the record key %.40q is no decimal from 0 up to but not 1 with at most %d decimals", fraction, decimals)
	}
	s.sum = (s.sum + n) % one
	return nil
}

// Key returns the sum modulo 1, cut off to a key. Bounds of intervals are whole keys, so what is cut off never matters.
func (s *DecimalSum) Key() Key {
	key, _ := bits.Div64(s.sum, 0, one)
	return Key(key)
}

// parseDecimal returns the fraction in units of 10⁻¹⁸.
func parseDecimal(fraction string) (n uint64, ok bool) {
	mantissa, exponent := fraction, 0
	if at := strings.IndexAny(fraction, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(fraction[at+1:]); err != nil || exponent > 0 || exponent < -decimals {
			return 0, false
		}
		mantissa = fraction[:at]
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	part = strings.TrimRight(part, "0")
	scale := decimals + exponent - len(part)
	digits := whole + part
	if digits == "" || scale < 0 || len(digits) > decimals+1 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	if n, ok = parseDigits(digits); !ok {
		return 0, false
	}
	for ; scale > 0; scale-- {
		if n >= one/10 {
			return 0, n == 0
		}
		n *= 10
	}
	return n, n < one
}

// parseDigits returns a number of at most 19 digits.
func parseDigits(digits string) (uint64, bool) {
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}
