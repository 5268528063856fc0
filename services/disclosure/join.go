package disclosure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Join returns one table of all cells of several tables, in which cells that mean the same are one: what can be computed
// from linked tables is what can be computed from this one. Dimensions are the same where their ids are; where a table
// does not have a dimension, its cells are totals over it. Each way in which a table breaks a code down holds in the
// joined table too.
//
// What [Table.Equations] takes for 0 in a table that does not have it is a cell of the joined table if another one has
// it. A withheld 0 must therefore be in every table that has the codes of it: one that adds up without it gives it away,
// and the joined table does not say so.
//
// Cells come in the order of the tables. Errors are faults of [Table.Check], and those that name two cells that mean the
// same and have different values, one that is withheld in one table and shown in another, and a dimension that a table
// lacks and that has several tops, so that nobody knows which of them is meant.
func Join(tables ...*Table) (*Table, error) {
	j := joining{table: &Table{}, at: map[string]int{}, cells: map[string]int{}}
	for n, t := range tables {
		if err := j.codes(t); err != nil {
			return nil, fmt.Errorf("table %d: %w", n, err)
		}
	}
	j.list()
	for n, t := range tables {
		if err := j.take(t); err != nil {
			return nil, fmt.Errorf("table %d: %w", n, err)
		}
	}
	if err := j.table.Check(); err != nil {
		return nil, fmt.Errorf("the joined tables: %w", err)
	}
	return j.table, nil
}

// joining is a table that others are joined in.
type joining struct {
	table      *Table
	at         map[string]int // of the id of a dimension
	dimensions []union
	cells      map[string]int // of a key
}

// union is the codes of a dimension in all tables.
type union struct {
	codes      []string
	listed     map[string]bool
	breakdowns map[string][][]string // of a parent
	parts      map[string]bool       // codes that are a part
}

func (j *joining) codes(t *Table) error {
	l, err := newLayout(t)
	if err != nil {
		return err
	}
	for d, dimension := range t.Dimensions {
		n, ok := j.at[dimension.ID]
		if !ok {
			n = len(j.dimensions)
			j.at[dimension.ID] = n
			j.dimensions = append(j.dimensions, union{listed: map[string]bool{}, breakdowns: map[string][][]string{}, parts: map[string]bool{}})
			j.table.Dimensions = append(j.table.Dimensions, Dimension{ID: dimension.ID})
		}
		j.dimensions[n].add(l.dimensions[d])
	}
	return nil
}

func (u *union) add(t tree) {
	for code, name := range t.codes {
		if !u.listed[name] {
			u.listed[name] = true
			u.codes = append(u.codes, name)
		}
		for _, numbers := range t.breakdowns[code] {
			parts := make([]string, len(numbers))
			for i, n := range numbers {
				parts[i] = t.codes[n]
				u.parts[parts[i]] = true
			}
			known := func(other []string) bool {
				return slices.Equal(slices.Sorted(slices.Values(other)), slices.Sorted(slices.Values(parts)))
			}
			if !slices.ContainsFunc(u.breakdowns[name], known) {
				u.breakdowns[name] = append(u.breakdowns[name], parts)
			}
		}
	}
}

// list gives the joined table its codes.
func (j *joining) list() {
	for d, u := range j.dimensions {
		var codes []Code
		for _, code := range u.codes {
			codes = append(codes, Code{Code: code})
		}
		for _, parent := range u.codes {
			for n, parts := range u.breakdowns[parent] {
				for _, part := range parts {
					codes = append(codes, Code{Code: part, Parent: parent, Hierarchy: strconv.Itoa(n + 1)})
				}
			}
		}
		j.table.Dimensions[d].Codes = codes
	}
}

// top returns the code that a table without the dimension means.
func (u *union) top() (code string, ok bool) {
	for _, c := range u.codes {
		if u.parts[c] {
			continue
		}
		if ok {
			return "", false
		}
		code, ok = c, true
	}
	return code, ok
}

// take takes over the cells of a table.
func (j *joining) take(t *Table) error {
	key := make([]string, len(j.dimensions))
	own := make([]int, len(t.Dimensions))
	for d, u := range j.dimensions {
		if slices.ContainsFunc(t.Dimensions, func(o Dimension) bool { return j.at[o.ID] == d }) {
			continue
		}
		top, ok := u.top()
		if !ok {
			return fieldFault("dimensions", "it does not have %s, which has more than one top", j.table.Dimensions[d].ID)
		}
		key[d] = top
	}
	for d, dimension := range t.Dimensions {
		own[d] = j.at[dimension.ID]
	}
	for i, c := range t.Cells {
		for d, code := range c.Key {
			key[own[d]] = code
		}
		c.Key = slices.Clone(key)
		name := strings.Join(key, "\x00")
		known, ok := j.cells[name]
		if !ok {
			j.cells[name] = len(j.table.Cells)
			j.table.Cells = append(j.table.Cells, c)
			continue
		}
		if err := j.table.Cells[known].join(c); err != nil {
			return fieldFault(cellField(i, "key"), "%s %v", c.Name(), err)
		}
	}
	return nil
}

// join takes over what another table knows of the cell.
func (c *Cell) join(other Cell) error {
	if c.Value != other.Value {
		return fmt.Errorf("is %d in one table and %d in another", c.Value, other.Value)
	}
	if c.Contributions == nil {
		c.Contributions = other.Contributions
	}
	a, b := c.Status, other.Status
	switch {
	case a == Undecided:
		c.Status, c.Rule = b, other.Rule
	case b == Undecided || a == b:
	case a.Suppressed() != b.Suppressed():
		return fmt.Errorf("is %v in one table and %v in another", a, b)
	case b == Primary || b == Empty:
		c.Status, c.Rule = b, other.Rule
	}
	return nil
}
