package postgres

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// newsCursor names the place after a part's entry of a revision in the news.
func newsCursor(number int64, ordinal int32) string { return fmt.Sprintf("%d.%d", number, ordinal) }

// parseNewsCursor reads it; "" is the place before the first entry. Callers keep cursors, so that a bad one is their fault.
func parseNewsCursor(cursor string) (number int64, ordinal int32, err error) {
	if cursor == "" {
		return 0, 0, nil
	}
	before, after, _ := strings.Cut(cursor, ".")
	number, err = strconv.ParseInt(before, 10, 64)
	if err == nil {
		var n int64
		n, err = strconv.ParseInt(after, 10, 32)
		ordinal = int32(n)
	}
	if err != nil {
		return 0, 0, fault.InvalidField("cursor", "%q is not a cursor of this stream", cursor)
	}
	return number, ordinal, nil
}

// blockCursor names the place after a block of a part.
func blockCursor(key []byte, blk int32) string { return fmt.Sprintf("%x.%d", key, blk) }

// parseBlockCursor reads it; "" is the place before the first block.
func parseBlockCursor(cursor string) (key []byte, blk int32, err error) {
	if cursor == "" {
		return []byte{}, 0, nil
	}
	before, after, _ := strings.Cut(cursor, ".")
	if key, err = hex.DecodeString(before); err != nil {
		return nil, 0, fmt.Errorf("reading the key of a block: %w", err)
	}
	n, err := strconv.ParseInt(after, 10, 32)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the number of a block: %w", err)
	}
	return key, int32(n), nil
}
