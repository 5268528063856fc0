package specimen

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// source is a published file of figures, one a row.
type source struct {
	file          string
	columns       []string // of the dimensions
	value         string   // the column of the figures
	where, prefix string   // the rows whose column begins so; all where there is no column
	totals        []string // labels of what is broken down; rows without are the parts
}

// read calls each for every figure above 0.
func (s source) read(data fs.FS, each func(key []string, n int64)) (err error) {
	if data == nil {
		return fs.ErrNotExist
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading %s: %w", s.file, err)
		}
	}()
	file, err := data.Open(s.file)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	rows := csv.NewReader(unpacked)
	header, err := rows.Read()
	if err != nil {
		return err
	}
	var at []int // the columns of the dimensions, the figure, and the condition
	for _, name := range append(slices.Clone(s.columns), s.value, s.where) {
		column := slices.Index(header, name)
		if column < 0 && name != "" {
			return fmt.Errorf("there is no column %q", name)
		}
		at = append(at, column)
	}
	value, where := at[len(s.columns)], at[len(s.columns)+1]
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if where >= 0 && !strings.HasPrefix(row[where], s.prefix) {
			continue
		}
		n, err := strconv.ParseInt(row[value], 10, 64)
		if err != nil {
			return err
		}
		key := make([]string, len(s.columns))
		for d := range key {
			if key[d] = row[at[d]]; slices.Contains(s.totals, key[d]) {
				key[d] = Total
			}
		}
		if n > 0 {
			each(key, n)
		}
	}
}

// ignoreMissing returns no error where a file is not there.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
