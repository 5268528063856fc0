package bench

import (
	"fmt"
	"io"
)

// Comparison is what was measured of several layouts, beside each other.
type Comparison struct {
	Machine string // what it was measured on
	Layouts []string
	Rows    []ComparisonRow
}

// ComparisonRow is one figure of each layout.
type ComparisonRow struct {
	What    string
	Unit    string
	Figures []string // one for each of the layouts
}

func (c *Comparison) add(what, unit string, figure func(layout int) string) {
	row := ComparisonRow{What: what, Unit: unit}
	for i := range c.Layouts {
		row.Figures = append(row.Figures, figure(i))
	}
	c.Rows = append(c.Rows, row)
}

// Print writes the comparison in columns.
func (c *Comparison) Print(out io.Writer) error {
	lines := [][]string{append([]string{"what", "unit"}, c.Layouts...)}
	for _, r := range c.Rows {
		lines = append(lines, append([]string{r.What, r.Unit}, r.Figures...))
	}
	_, err := fmt.Fprintf(out, "%s\n\n%s", c.Machine, columns(lines))
	return err
}
