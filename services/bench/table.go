package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// memoryLimit is the most that a process may be resident, in MiB.
const memoryLimit = 512

// Table is what was measured.
type Table struct {
	Machine string // what it was measured on
	Rows    []Row

	failures []string
}

// Row is one figure.
type Row struct {
	What   string
	Figure string
	Limit  string // what it must keep; "" where nothing is asked
	Ratio  string // of the figure to what it is compared with, or of the limit to the figure
	Kept   bool
	Memory float64 // MiB: the largest peak of a process while it was measured; 0: not looked at
	Detail string  // what else there is to say; "": nothing
}

// add adds a figure with a limit.
func (t *Table) add(r Row) { t.Rows = append(t.Rows, r) }

// note adds a figure that nothing is asked of.
func (t *Table) note(what, figure, ratio string) {
	t.add(Row{What: what, Figure: figure, Ratio: ratio, Kept: true})
}

// fail adds something that could not be measured.
func (t *Table) fail(what string, err error) {
	t.add(Row{What: what, Figure: "failed, see below", Limit: "to work"})
	t.failures = append(t.failures, fmt.Sprintf("%s: %v", what, err))
}

// memory adds the row about all the others.
func (t *Table) memory() {
	most := Row{}
	for _, r := range t.Rows {
		if r.Memory > most.Memory {
			most = r
		}
	}
	if most.Memory == 0 {
		return
	}
	t.add(Row{
		What:   "memory: the largest peak of a process, in " + most.What,
		Figure: fmt.Sprintf("%.0f MiB", most.Memory), Limit: fmt.Sprintf("≤ %d MiB", memoryLimit),
		Ratio: fmt.Sprintf("%.2f", most.Memory/memoryLimit), Kept: most.Memory <= memoryLimit,
	})
}

// Missed returns how many limits were missed.
func (t *Table) Missed() int {
	n := 0
	for _, r := range t.Rows {
		if !r.Kept {
			n++
		}
	}
	return n
}

// Print writes the table in columns.
func (t *Table) Print(out io.Writer) error {
	lines := [][]string{{"what", "figure", "limit", "ratio", "peak MiB", ""}}
	for _, r := range t.Rows {
		memory, kept := "", ""
		if r.Memory > 0 {
			memory = fmt.Sprintf("%.0f", r.Memory)
		}
		switch {
		case !r.Kept:
			kept = "MISSED"
		case r.Limit != "":
			kept = "ok"
		}
		lines = append(lines, []string{r.What, r.Figure, r.Limit, r.Ratio, memory, kept})
		if r.Detail != "" {
			lines = append(lines, []string{"    " + r.Detail})
		}
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s\n\n%s", t.Machine, columns(lines))
	if n := t.Missed(); n > 0 {
		fmt.Fprintf(text, "\n%d of the limits MISSED\n", n)
	}
	for _, failure := range t.failures {
		fmt.Fprintf(text, "\n%s\n", failure)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// columns returns lines of as many cells each in columns, and those of one cell as they are.
func columns(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		if len(line) == 1 {
			continue
		}
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	text := &strings.Builder{}
	for _, line := range lines {
		if len(line) == 1 {
			text.WriteString(line[0] + "\n")
			continue
		}
		row := &strings.Builder{}
		for i, cell := range line {
			fmt.Fprintf(row, "%s%s  ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		text.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	return text.String()
}
