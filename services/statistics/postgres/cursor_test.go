package postgres

import (
	"bytes"
	"testing"

	"github.com/comity-federation/comity/services/fault"
)

// FuzzCursor reads cursors: one that is taken is written again as what names the same place, and any other is the caller's
// fault.
func FuzzCursor(f *testing.F) {
	for _, cursor := range []string{"", "1.0", "9223372036854775807.2147483647", "1.99999999999", "1.2 and more", "+1.-2", "-1.0", "0aff.3", "0a.", ".1", "zz.1", "\x00"} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		number, ordinal, err := parseNewsCursor(cursor)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", cursor, err)
			}
		} else if n, o, err := parseNewsCursor(newsCursor(number, ordinal)); err != nil || n != number || o != ordinal {
			t.Errorf("%q names %d.%d, and again %d.%d, %v", cursor, number, ordinal, n, o, err)
		}
		if key, blk, err := parseBlockCursor(cursor); err == nil {
			if k, b, err := parseBlockCursor(blockCursor(key, blk)); err != nil || !bytes.Equal(k, key) || b != blk {
				t.Errorf("%q names %x %d, and again %x %d, %v", cursor, key, blk, k, b, err)
			}
		}
	})
}
