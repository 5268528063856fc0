package bench

import (
	"fmt"
	"math"
	"strconv"
)

const (
	sections     = 100
	citizenships = 250 // at most
	firstYear    = 2020
)

// cube is made up: 100 sections × some citizenships × 2 sexes × 6 ages, in the order of sections, by month from January 2020.
type cube struct{ citizenships int }

// perSection returns how many series a section has.
func (c cube) perSection() int { return c.citizenships * 2 * 6 }

// series returns how many series there are: with 250 citizenships 300,000.
func (c cube) series() int { return sections * c.perSection() }

// dimensions are those of the data structure that states share, in key order.
func dimensions() []string {
	return []string{"FREQ", "REF_AREA", "INDICATOR", "SECTION", "BORDER_TYPE", "CITIZENSHIP", "SEX", "AGE", "DETAIL"}
}

// nativeDimensions are those of the national structure.
func nativeDimensions() []string {
	return []string{"FREQ", "AREA", "NATIONALITY", "GENDER", "AGE_GROUP"}
}

func sexes() []string { return []string{"F", "M"} }

func ages() []string { return []string{"Y_LT14", "Y14T17", "Y18T24", "Y25T39", "Y_GE40", "UNK"} }

func section(i int) string { return fmt.Sprintf("XB_%02d", i) }

func citizenship(i int) string { return fmt.Sprintf("C%03d", i) }

// place is where a series stands in the cube.
type place struct{ section, citizenship, sex, age int }

// placeOf returns the place of series number i.
func (c cube) placeOf(i int) place {
	return place{i / c.perSection(), i / 12 % c.citizenships, i / 6 % 2, i % 6}
}

// key returns the codes of series number i in the shared structure.
func (c cube) key(i int) []string {
	p := c.placeOf(i)
	borders := []string{"LAND", "SEA", "AIR"}
	return []string{
		"M", "NZ", "1A", section(p.section), borders[p.section%3], citizenship(p.citizenship), sexes()[p.sex], ages()[p.age], "_T",
	}
}

// nativeKey returns its labels in the national structure.
func (c cube) nativeKey(i int) []string {
	p := c.placeOf(i)
	return []string{"M", "Sector " + strconv.Itoa(p.section), citizenship(p.citizenship), []string{"Female", "Male"}[p.sex], "group " + strconv.Itoa(p.age)}
}

// value returns the figure of series number i in a month, from 0: small counts are frequent, large ones are rare, they follow the
// year, and sections differ in size. edition says how often it was revised.
func (c cube) value(i, month, edition int) int {
	h := uint64(i)*0x9E3779B97F4A7C15 + 0x1234567 //nolint:gosec // any number does
	h ^= h >> 29
	level := 3 + int(float64(h%97*(h%97))/5*math.Pow(0.7, float64(c.placeOf(i).section/10))) // from below 2,000 down
	season := []int{0, 1, 3, 6, 9, 12, 13, 11, 8, 5, 2, 1}[month%12]
	return level + level*season/20 + (i+month)%3 + edition
}

// period returns the name of a month, from 0.
func period(month int) string { return fmt.Sprintf("%d-%02d", firstYear+month/12, month%12+1) }

// monthNumber returns the number of a month, from 0, as months are counted from year 0.
func monthNumber(month int) int { return 12*firstYear + month }

// rows are figures of the cube: those of some series in some months.
type rows struct {
	cube
	from, series int // the series from this one on
	month        int // the months from this one on
	months       int
	edition      int
}

func (r rows) count() int { return r.series * r.months }

// csv returns the rows as SDMX-CSV 2.0 of a dataflow, series by series; without a dataflow, with the same columns but for those
// that name it. Each row has an OBS_STATUS.
func (r rows) csv(dataflow string, columns []string, key func(int) []string) []byte {
	text := make([]byte, 0, 96*r.count()+256)
	lead := ""
	if dataflow != "" {
		lead = "dataflow," + dataflow + ",M,"
		text = append(text, "STRUCTURE,STRUCTURE_ID,ACTION,"...)
	}
	for _, id := range columns {
		text = append(append(text, id...), ',')
	}
	text = append(text, "TIME_PERIOD,OBS_VALUE,OBS_STATUS\n"...)
	periods := make([]string, r.months)
	for m := range periods {
		periods[m] = period(r.month + m)
	}
	for i := r.from; i < r.from+r.series; i++ {
		front := []byte(lead)
		for _, code := range key(i) {
			front = append(append(front, code...), ',')
		}
		for m, name := range periods {
			text = append(append(append(text, front...), name...), ',')
			text = strconv.AppendInt(text, int64(r.value(i, r.month+m, r.edition)), 10)
			text = append(text, ",A\n"...)
		}
	}
	return text
}
