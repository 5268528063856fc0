package linear

import (
	"math/big"
	"math/bits"
	"math/rand/v2"
)

// field counts modulo a prime p below 2⁶¹. Its numbers are kept as x·2⁶⁴ mod p, which makes a product two multiplications
// and no division (Montgomery 1985).
type field struct {
	p       uint64
	inverse uint64 // −1/p modulo 2⁶⁴
	one     uint64 // 2⁶⁴ mod p
	square  uint64 // 2¹²⁸ mod p
}

// mersenne is 2⁶¹−1, a prime, for where the choice matters to speed alone.
const mersenne = 1<<61 - 1

// newField returns the numbers modulo p, an odd prime below 2⁶¹.
func newField(p uint64) field {
	x := p // correct to 3 bits; each step of Newton doubles that
	for range 5 {
		x *= 2 - p*x
	}
	f := field{p: p, inverse: -x}
	_, f.one = bits.Div64(1, 0, p)
	high, low := bits.Mul64(f.one, f.one)
	_, f.square = bits.Div64(high, low, p)
	return f
}

// randomField returns the numbers modulo a random prime of 61 bits.
func randomField(random *rand.ChaCha8) field {
	candidate := new(big.Int)
	for {
		p := random.Uint64()>>3 | 1<<60 | 1
		if candidate.SetUint64(p).ProbablyPrime(0) { // no error below 2⁶⁴
			return newField(p)
		}
	}
}

// random returns a random number.
func (f *field) random(random *rand.ChaCha8) uint64 {
	for {
		if x := random.Uint64() >> 3; x < f.p {
			return x
		}
	}
}

// number returns an integer as a number of the field.
func (f *field) number(x int64) uint64 {
	if x < 0 {
		return f.negative(f.multiply(uint64(-x)%f.p, f.square))
	}
	return f.multiply(uint64(x)%f.p, f.square)
}

func (f *field) multiply(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	h, l := bits.Mul64(low*f.inverse, f.p)
	_, carry := bits.Add64(low, l, 0)
	return f.reduce(high + h + carry)
}

func (f *field) add(a, b uint64) uint64 { return f.reduce(a + b) }

func (f *field) negative(a uint64) uint64 {
	if a == 0 {
		return 0
	}
	return f.p - a
}

// invert returns 1/a by Fermat's theorem; a is not 0.
func (f *field) invert(a uint64) uint64 {
	power := f.one
	for e := f.p - 2; e != 0; e >>= 1 {
		if e&1 == 1 {
			power = f.multiply(power, a)
		}
		a = f.multiply(a, a)
	}
	return power
}

// reduce brings a number below 2p below p.
func (f *field) reduce(a uint64) uint64 {
	if a >= f.p {
		return a - f.p
	}
	return a
}
