package statistics_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/statistics"
)

// TestTraps reads what the files have that is easily read wrong.
func TestTraps(t *testing.T) {
	t.Parallel()
	data := func(t *testing.T, file string) string {
		t.Helper()
		return filepath.Join(shared(t), "data", file)
	}
	// harmonised reads a file, and returns its own figures and those derived of them.
	harmonised := func(t *testing.T, layout, file string) (native, derived []*block.Block) {
		t.Helper()
		s := loadLayout(t, layout)
		var report statistics.Report
		native = s.read(t, data(t, file), &report)
		if report.Blocking() {
			t.Fatalf("%s is rejected: %v", file, report.Findings()[0])
		}
		d := s.deriver(t, native)
		if unmapped := d.Unmapped(); len(unmapped) > 0 {
			t.Errorf("%s: not mapped: %v", file, unmapped)
		}
		return native, slices.Collect(d.Table().Blocks())
	}
	want := func(t *testing.T, what string, blocks []*block.Block, start, end string, f filter.Filter, figure float64) {
		t.Helper()
		if got := sum(t, blocks, start, end, f); got != figure {
			t.Errorf("%s: %v, want %v", what, got, figure)
		}
	}
	const always, forever = "1900-01", "2100-12"

	t.Run("US", func(t *testing.T) {
		t.Parallel()
		native, derived := harmonised(t, "us-encounters", "iom_gdidata/irreg_usa.csv.gz")
		t.Run("no sector or citizenship before 2019-10", func(t *testing.T) {
			before := sum(t, native, always, "2019-09", filter.True())
			want(t, "totals before", derived, always, "2019-09", filter.And(filter.Eq("SECTION", "_T"), filter.Eq("CITIZENSHIP", "_T")), before)
			want(t, "totals since", derived, "2019-10", forever, filter.Or(filter.Eq("SECTION", "_T"), filter.Eq("CITIZENSHIP", "_T")), 0)
		})
		t.Run("t_fy is the fiscal month", func(t *testing.T) {
			want(t, "fiscal 2023", native, "2022-10", "2023-09", filter.True(), 2_475_669)
		})
		t.Run("OOO is other", func(t *testing.T) {
			want(t, "OOO", native, always, forever, filter.Eq("CITIZENSHIP", "OOO"), 423_688)
			want(t, "_O", derived, always, forever, filter.Eq("CITIZENSHIP", "_O"), 423_688)
		})
		t.Run("UC / Single Minors becomes UAC in 2021-10", func(t *testing.T) {
			minors := filter.In("DEMOGRAPHIC", "UC / Single Minors", "UAC", "Accompanied Minors")
			for _, span := range [][2]string{{always, "2021-09"}, {"2021-10", forever}} {
				want(t, "minors from "+span[0], derived, span[0], span[1], filter.Eq("AGE", "Y_LT18"), sum(t, native, span[0], span[1], minors))
			}
			s := loadLayout(t, "us-encounters")
			late := filter.Eq("DEMOGRAPHIC", "UC / Single Minors")
			for _, b := range native { // as if the old label came back
				relabel(b, "DEMOGRAPHIC", "UAC", "UC / Single Minors")
			}
			unmapped := s.deriver(t, native).Unmapped()
			if len(unmapped) != 1 || unmapped[0].Labels[0] != "UC / Single Minors" || unmapped[0].Value != sum(t, native, "2021-10", forever, late) {
				t.Errorf("an old label in new months gives %v", unmapped)
			}
		})
	})
	t.Run("Frontex: a blank citizenship became XKX", func(t *testing.T) {
		t.Parallel()
		s := loadLayout(t, "eu-detections")
		var report statistics.Report
		s.read(t, data(t, "vintages/frontex__2025-02-07_c32d10c.csv.gz"), &report)
		blank := report.Findings()
		if len(blank) != 267 || slices.ContainsFunc(blank, func(f statistics.Finding) bool { return f.Rule != "BLANK" || f.Column != "nat" || f.Line < 2 }) {
			t.Errorf("%d findings, the first: %+v", len(blank), blank[0])
		}
		_, derived := harmonised(t, "eu-detections", "vintages/frontex__2025-02-10_9179162.csv.gz")
		want(t, "XKX", derived, always, forever, filter.Eq("CITIZENSHIP", "XKX"), 58_249)
	})
	t.Run("Frontex: releases differ in 699, 18, 115, 0 cells", func(t *testing.T) {
		t.Parallel()
		s := loadLayout(t, "eu-detections")
		for i, column := range s.layout.Columns {
			if column.Header == "nat" {
				s.layout.Columns[i].Blank = "(blank)" // to be able to read the first release
			}
		}
		var differ []int
		var before map[string]float64
		for _, file := range []string{"2025-02-07_c32d10c", "2025-02-10_9179162", "2025-03-10_d52d10e", "2025-05-15_e66b635", "2025-06-19_f41c56c"} {
			var report statistics.Report
			release := cellsOf(s.read(t, data(t, "vintages/frontex__"+file+".csv.gz"), &report))
			if before != nil {
				differ = append(differ, revised(before, release))
			}
			before = release
		}
		if diff := cmp.Diff([]int{699, 18, 115, 0}, differ); diff != "" {
			t.Errorf("revised cells (-want +got):\n%s", diff)
		}
	})
	t.Run("UK: 18-24 becomes 18 to 24", func(t *testing.T) {
		t.Parallel()
		native, derived := harmonised(t, "gb-irregular-migration", "vintages/uk_irregular_migration__2023-03-09_f9f7e68.csv.gz")
		want(t, "18-24", native, always, forever, filter.Eq("AGE", "18-24"), 31_768)
		want(t, "Y18T24 of the old release", derived, always, forever, filter.Eq("AGE", "Y18T24"), 31_768)
		native, derived = harmonised(t, "gb-irregular-migration", "vintages/uk_irregular_migration__2023-05-31_0b8ec2c.csv.gz")
		want(t, "18 to 24", native, always, forever, filter.Eq("AGE", "18 to 24"), 43_540)
		want(t, "Y18T24 of the new release", derived, always, forever, filter.Eq("AGE", "Y18T24"), 43_540)
	})
	t.Run("UK: quarter dates move from the first to the last day", func(t *testing.T) {
		t.Parallel()
		first, _ := harmonised(t, "gb-irregular-migration", "vintages/uk_irregular_migration__2023-05-31_0b8ec2c.csv.gz")
		last, _ := harmonised(t, "gb-irregular-migration", "vintages/uk_irregular_migration__2023-07-27_4eab465.csv.gz")
		want(t, "first days", first, always, forever, filter.True(), 143_488)
		if n := revised(cellsOf(first), cellsOf(last)); n != 0 {
			t.Errorf("%d cells differ", n)
		}
	})
	t.Run("UK: Cyprus (Northern part of), Stateless, Not currently recorded", func(t *testing.T) {
		t.Parallel()
		native, derived := harmonised(t, "gb-irregular-migration", "uk_home_office/irregular_migration.csv")
		want(t, "Northern Cyprus", native, always, forever, filter.Eq("NATIONALITY", "Cyprus (Northern part of)"), 22)
		want(t, "Cyprus", derived, always, forever, filter.Eq("CITIZENSHIP", "CYP"), sum(t, native, always, forever, filter.In("NATIONALITY", "Cyprus", "Cyprus (Northern part of)")))
		want(t, "stateless", derived, always, forever, filter.Eq("CITIZENSHIP", "STLS"), 2_101)
		want(t, "nationality not recorded", derived, always, forever, filter.Eq("CITIZENSHIP", "XXX"), 1_838)
		want(t, "age not recorded", native, always, forever, filter.Eq("AGE", "Not currently recorded"), 1_838)
		want(t, "age unknown", derived, always, forever, filter.Eq("AGE", "UNK"), sum(t, native, always, forever, filter.In("AGE", "Unknown", "Not currently recorded")))
		want(t, "sex unknown", derived, always, forever, filter.Eq("SEX", "_U"), sum(t, native, always, forever, filter.In("SEX", "Unknown", "Not currently recorded")))
	})
	t.Run("Colombia", func(t *testing.T) {
		t.Parallel()
		native, derived := harmonised(t, "co-entries", "colombia_entradas/Entradas_de_extranjeros_a_Colombia.csv")
		t.Run("one duplicate key", func(t *testing.T) {
			if keys := duplicateKeys(native); len(keys) != 3 { // one for each sex
				t.Errorf("the duplicate keys are %q", keys)
			}
			want(t, "1 and 264", derived, "2016-11", "2016-11", filter.Eq("CITIZENSHIP", "XXX"), 265)
		})
		t.Run("Refugiado and Yugoslavia are no countries", func(t *testing.T) {
			others := filter.In("NATIONALITY", "Refugiado", "Refugiado Otro", "Yugoslavia", "Islas del Canal")
			want(t, "no countries", derived, always, forever, filter.Eq("CITIZENSHIP", "_O"), sum(t, native, always, forever, others))
			want(t, "refugees", native, always, forever, filter.In("NATIONALITY", "Refugiado", "Refugiado Otro"), 143)
			want(t, "Yugoslavia", native, always, forever, filter.Eq("NATIONALITY", "Yugoslavia"), 18)
		})
	})
	// crossings is the file of the ports from its first row to the line.
	crossings := func(t *testing.T, lines int) string {
		t.Helper()
		file, err := os.Open(data(t, "us_bts_border_crossing/Border_Crossing_Entry_Data.csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		plain, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		start, err := io.ReadAll(io.LimitReader(plain, int64(200*lines)))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.SplitAfter(string(start), "\n")[:lines], "")
	}
	t.Run("BTS: quoted line breaks", func(t *testing.T) {
		t.Parallel()
		s := loadLayout(t, "us-crossings")
		structure := *s.structure(t, s.layout.Dataflow)
		structure.Attributes = append(structure.Attributes, statistics.Component{ID: "LOCATION"})
		for i, column := range s.layout.Columns {
			if column.Header == "Location" {
				s.layout.Columns[i].Component = "LOCATION"
			}
		}
		rows, findings := readAll(t, s.layout, &structure, strings.NewReader(crossings(t, 101)))
		if len(rows) != 50 || rows[0][5] != "WASHINGTON (49.0, -118.22)" {
			t.Errorf("%d rows, the first is %q", len(rows), rows[0])
		}
		if len(findings) != 1 || findings[0].Rule != "LINE_BREAK" || findings[0].Severity != statistics.Note || findings[0].Column != "Location" {
			t.Errorf("the findings are %v", findings)
		}
	})
	t.Run("BTS: 3,137 is a number", func(t *testing.T) {
		t.Parallel()
		s := loadLayout(t, "us-crossings")
		structure := s.structure(t, s.layout.Dataflow)
		const file = "Port Name,State Abbreviation,Port Code,Border,Date,Measure,Value,Location\n" +
			"Eastport,ID,3302,US-Canada Border,01/01/1999 12:00:00 AM,Truck Containers Full,\"3,137\",x\n"
		rows, findings := readAll(t, s.layout, structure, strings.NewReader(file))
		if len(findings) > 0 || len(rows) != 1 || rows[0][5] != "3137" {
			t.Errorf("read as %q with %v", rows, findings)
		}
		s.layout.Numbers = statistics.LayoutNumbers{}
		if _, findings = readAll(t, s.layout, structure, strings.NewReader(file)); len(findings) != 1 || findings[0].Rule != "VALUE" {
			t.Errorf("without a mark for thousands: %v", findings)
		}
	})
	t.Run("BTS: one duplicate key, Eastport twice, persons mixed with vehicles", func(t *testing.T) {
		t.Parallel()
		s := loadLayout(t, "us-crossings")
		s.layout.Filters = []statistics.LayoutFilter{{Header: "Port Code", Keep: []string{"103", "3302", "2406"}}}
		var report statistics.Report
		native := s.read(t, data(t, "us_bts_border_crossing/Border_Crossing_Entry_Data.csv.gz"), &report)
		derived := slices.Collect(s.deriver(t, native).Table().Blocks())
		if diff := cmp.Diff([]string{"M 2406 US-Mexico Border Personal Vehicle Passengers 2018-12: 69026 69026"}, duplicateKeys(native)); diff != "" {
			t.Errorf("duplicate keys (-want +got):\n%s", diff)
		}
		for _, port := range []string{"103", "3302"} { // in Maine and in Idaho
			trucks := filter.And(filter.Eq("PORT", port), filter.In("MEASURE", "Trucks", "Trains", "Buses", "Personal Vehicles"))
			want(t, "Eastport "+port, derived, "1999-01", "1999-01", filter.And(filter.Eq("SECTION", "US_"+port), filter.Eq("INDICATOR", "VEH_IN")), sum(t, native, "1999-01", "1999-01", trucks))
		}
		passengers := filter.In("MEASURE", "Pedestrians", "Personal Vehicle Passengers", "Bus Passengers", "Train Passengers")
		want(t, "persons", derived, "2018-01", "2018-12", filter.Eq("UNIT_MEASURE", "CROSSINGS"), sum(t, native, "2018-01", "2018-12", passengers))
		vehicles := filter.In("MEASURE", "Trucks", "Trains", "Buses", "Personal Vehicles")
		want(t, "vehicles", derived, "2018-01", "2018-12", filter.Eq("UNIT_MEASURE", "VEHICLES"), sum(t, native, "2018-01", "2018-12", vehicles))
	})
}

// relabel gives one label of a component in place of another.
func relabel(b *block.Block, component, from, to string) {
	dictionary := b.Column(component).Dictionary
	for i, label := range dictionary {
		if label == from {
			dictionary[i] = to
		}
	}
}

// cellsOf returns the figures by key and period.
func cellsOf(blocks []*block.Block) map[string]float64 {
	all := map[string]float64{}
	for _, b := range blocks {
		for row := range b.Rows {
			var key []string
			for _, c := range b.Columns {
				if !c.IsNumber() {
					key = append(key, c.Text(row))
				}
			}
			all[strings.Join(key, "|")] = b.Column(block.ObsValue).Numbers[row]
		}
	}
	return all
}

// revised counts the cells that two releases have differently, up to the last period of the first.
func revised(before, after map[string]float64) (cells int) {
	last := ""
	period := func(key string) string { return key[strings.LastIndexByte(key, '|')+1:] }
	for key, figure := range before {
		last = max(last, period(key))
		if is, there := after[key]; !there || is != figure {
			cells++
		}
	}
	for key := range after {
		if _, there := before[key]; !there && period(key) <= last {
			cells++
		}
	}
	return cells
}
