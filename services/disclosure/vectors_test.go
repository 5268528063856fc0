package disclosure_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
)

// readCSV returns the rows of a file of testdata/sdctable by column.
func readCSV(t testing.TB, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "sdctable", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]string
	for _, row := range rows[1:] {
		record := map[string]string{}
		for i, column := range rows[0] {
			record[column] = row[i]
		}
		records = append(records, record)
	}
	return records
}

// pattern is a table of two flat dimensions in testdata/sdctable: the columns of the codes, and the total in each.
type pattern struct {
	file    string
	columns [2]string
	total   string
}

var (
	microdata = pattern{"T1_microdata1", [2]string{"region_o", "gender_o"}, "total"}
	trap      = pattern{"T2_trap4x4", [2]string{"v1_o", "v2_o"}, "tot"}
)

// table returns the table with the statuses of one column.
func (p pattern) table(t testing.TB, column string) *disclosure.Table {
	t.Helper()
	table := &disclosure.Table{}
	for _, id := range p.columns {
		table.Dimensions = append(table.Dimensions, disclosure.Dimension{ID: id, Codes: []disclosure.Code{{Code: p.total}}})
	}
	listed := map[string]bool{p.total: true}
	for _, row := range readCSV(t, p.file+"_patterns.csv") {
		cell := disclosure.Cell{Value: number(t, row["freq"])}
		for d, name := range p.columns {
			code := row[name]
			if key := name + code; !listed[key] && code != p.total {
				listed[key] = true
				table.Dimensions[d].Codes = append(table.Dimensions[d].Codes, disclosure.Code{Code: code, Parent: p.total})
			}
			cell.Key = append(cell.Key, code)
		}
		switch row[column] {
		case "u":
			cell.Status = disclosure.Primary
		case "x":
			cell.Status = disclosure.Secondary
		default:
			cell.Status = disclosure.Published
		}
		table.Cells = append(table.Cells, cell)
	}
	return table
}

func number(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
