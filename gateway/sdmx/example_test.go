package sdmx_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/comity-federation/comity/gateway/sdmx"
	"github.com/comity-federation/comity/proto/block"
)

// A file that comes in is read block by block; each row knows its line.
func ExampleNewCSVReader() {
	reader, err := sdmx.NewCSVReader(strings.NewReader(`STRUCTURE,STRUCTURE_ID,ACTION,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE
dataflow,COMITY:BORDER(1.0.0),M,M,SYR,2023-01,1204
dataflow,COMITY:BORDER(1.0.0),M,M,AFG,2023-01,877
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for b, err := range reader.Blocks() {
		if err != nil {
			fmt.Println(err)
			return
		}
		for i := range b.Rows {
			fmt.Println(b.Column(block.Line).Numbers[i], b.Column("CITIZENSHIP").Text(i), b.Column(block.ObsValue).Numbers[i])
		}
	}
	_, dataflow := reader.Dataflow()
	fmt.Println(reader.Action(), dataflow)
	// Output:
	// 2 SYR 1204
	// 3 AFG 877
	// Merge COMITY:BORDER(1.0.0)
}

// What is wrong with a file is told line by line, up to a hundred of it.
func ExampleFileErrors() {
	reader, err := sdmx.NewCSVReader(strings.NewReader("DATAFLOW;FREQ;TIME_PERIOD;OBS_VALUE\nA:B(1.0);A;2022;3,137\nA:B(1.0);A;2023\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, err := range reader.Blocks() {
		for _, e := range err.(sdmx.FileErrors) { //nolint:errorlint // the example is about this type
			fmt.Println(e)
		}
	}
	// Output:
	// line 2, column OBS_VALUE: "3,137" is no number; digits are expected, with a decimal point and no separators between thousands
	// line 3: has 3 fields, the header has 4
}

// A query is read without knowing any structure, and then held against one.
func ExampleParseDataQuery() {
	structure := &sdmx.Structure{
		Dataflow:   sdmx.Ref{Agency: "COMITY", ID: "BORDER", Version: "1.0.0"},
		Dimensions: []sdmx.Component{{ID: "FREQ"}, {ID: "CITIZENSHIP"}},
	}
	query, err := sdmx.ParseDataQuery("dataflow/COMITY/BORDER/1.0.0/M.*", "c[CITIZENSHIP]=SYR,AFG&c[TIME_PERIOD]=ge:2023-01+le:2023-12&sort=TIME_PERIOD:desc")
	if err != nil {
		fmt.Println(err)
		return
	}
	bound, err := query.Bind(structure)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(bound.Selections, bound.StartPeriod, bound.EndPeriod, bound.Order)
	// Output: [{FREQ [M]} {CITIZENSHIP [AFG SYR]}] 2023-01 2023-12 [{TIME_PERIOD true}]
}

// An answer is written block by block.
func ExampleNewCSVWriter() {
	structure := &sdmx.Structure{
		Dataflow:   sdmx.Ref{Agency: "COMITY", ID: "BORDER", Version: "1.0.0"},
		Dimensions: []sdmx.Component{{ID: "FREQ"}, {ID: "CITIZENSHIP", Codes: map[string]sdmx.Code{"SYR": {Names: sdmx.Names{"en": "Syria"}}}}},
	}
	rows := block.NewBuilder([]string{"FREQ", "CITIZENSHIP", block.TimePeriod}, []string{block.ObsValue})
	rows.Append([]string{"M", "SYR", "2023-01"}, []float64{1204})
	w := sdmx.NewCSVWriter(os.Stdout, structure, sdmx.CSVOptions{Labels: "both", Language: "en"})
	if err := w.Write(rows.Block()); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// STRUCTURE,STRUCTURE_ID,ACTION,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE
	// dataflow,COMITY:BORDER(1.0.0),I,M,SYR: Syria,2023-01,1204
}
