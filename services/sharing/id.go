package sharing

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// newID returns a UUIDv7 (RFC 9562, section 5.7): ids made later sort later, to the millisecond.
func newID(now time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(now.UnixMilli()))
	copy(id[:6], millis[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// idTime returns when an id was made, to the millisecond; zero for what is no UUIDv7.
func idTime(id string) time.Time {
	if !uuid.MatchString(id) {
		return time.Time{}
	}
	millis, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}

// now returns the time to the microsecond, which is what is kept of it.
func (s *Service) now() time.Time { return s.Clock().UTC().Truncate(time.Microsecond) }
