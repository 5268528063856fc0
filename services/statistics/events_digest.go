package statistics

import (
	"encoding/binary"
	"math/bits"
)

// multisetHash is a hash of records in any order: the sum of their hashes modulo 2²⁵⁶. Such a sum is as hard to forge as
// the hashes only where these are made with a secret, as they are here (Clarke, Devadas, van Dijk, Gassend and Suh,
// Incremental Multiset Hash Functions, ASIACRYPT 2003, section 5). The zero multisetHash is that of no record.
type multisetHash [4]uint64 // the least significant first

// add adds a record of the hash n times.
func (m *multisetHash) add(hash *[32]byte, n uint64) {
	var carry uint64 // into the next limb: below 2⁶⁴, since a limb and its product with n are below 2¹²⁸
	for i := range m {
		high, low := bits.Mul64(binary.BigEndian.Uint64(hash[24-8*i:]), n)
		low, over := bits.Add64(low, carry, 0)
		high += over
		m[i], over = bits.Add64(m[i], low, 0)
		carry = high + over
	}
}

func (m *multisetHash) sum() (digest [32]byte) {
	for i, limb := range m {
		binary.BigEndian.PutUint64(digest[24-8*i:], limb)
	}
	return digest
}
