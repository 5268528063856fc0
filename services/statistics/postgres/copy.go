package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
)

// copyChunk is after how many bytes rows are sent.
const copyChunk = 1 << 16

// copyRows is the rows of a COPY in PostgreSQL's binary format, made as they are sent.
//
// https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4
type copyRows struct {
	buffer  []byte
	sent    int // of the buffer
	columns int
	next    func(*copyRows) (more bool, err error) // appends a row, if there is one more
	ended   bool
}

// copyFrom stores the rows that next appends in columns of a table.
func copyFrom(ctx context.Context, tx pgx.Tx, table string, columns []string, next func(*copyRows) (more bool, err error)) error {
	rows := &copyRows{columns: len(columns), next: next}
	rows.buffer = append(rows.buffer, "PGCOPY\n\377\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	statement := fmt.Sprintf(`COPY %s (%s) FROM STDIN (FORMAT binary)`, table, strings.Join(columns, ", "))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, rows, statement)
	if err != nil {
		return fmt.Errorf("copying into %s: %w", table, err)
	}
	return nil
}

// Read gives the rows as they travel.
func (r *copyRows) Read(p []byte) (int, error) {
	for r.sent == len(r.buffer) || len(r.buffer)-r.sent < len(p) && !r.ended {
		if r.ended {
			return 0, io.EOF
		}
		r.buffer = r.buffer[:copy(r.buffer, r.buffer[r.sent:])]
		r.sent = 0
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buffer[r.sent:])
	r.sent += n
	return n, nil
}

func (r *copyRows) fill() error {
	for len(r.buffer) < copyChunk {
		start := len(r.buffer)
		r.buffer = binary.BigEndian.AppendUint16(r.buffer, uint16(r.columns)) //nolint:gosec // a table has few
		more, err := r.next(r)
		if err != nil {
			return err
		}
		if !more {
			r.buffer = append(r.buffer[:start], 0xff, 0xff)
			r.ended = true
			return nil
		}
	}
	return nil
}

func (r *copyRows) int2(n int16) {
	r.buffer = binary.BigEndian.AppendUint16(append(r.buffer, 0, 0, 0, 2), uint16(n)) //nolint:gosec // its bits
}

func (r *copyRows) int4(n int32) {
	r.buffer = binary.BigEndian.AppendUint32(append(r.buffer, 0, 0, 0, 4), uint32(n)) //nolint:gosec // its bits
}

func (r *copyRows) int8(n int64) {
	r.buffer = binary.BigEndian.AppendUint64(append(r.buffer, 0, 0, 0, 8), uint64(n)) //nolint:gosec // its bits
}

// bytes appends a bytea or a text.
func (r *copyRows) bytes(b []byte) {
	r.buffer = binary.BigEndian.AppendUint32(r.buffer, uint32(len(b))) //nolint:gosec // far below a gigabyte
	r.buffer = append(r.buffer, b...)
}

// layer appends the columns of a layer after rev and mask, part, blk and key.
func (r *copyRows) layer(l *layer) {
	r.bytes(l.vals)
	r.bytes(l.obs)
	r.bytes(l.conf)
	r.bytes(l.ages)
	r.bytes(l.notes)
}
