package statistics

// Layout describes a national CSV file.
type Layout struct {
	ID         string
	Dataflow   Ref
	Delimiter  string // one character; "" is a comma
	Columns    []LayoutColumn
	Constants  map[string]string
	Period     LayoutPeriod
	Duplicates DuplicateRule
	Encoding   string // one of encodings, in any case; "" is UTF-8, or UTF-16 where a byte order mark says so
	Numbers    LayoutNumbers
	Filters    []LayoutFilter // a row is read that passes all of them
	Quote      string         // one character; "" is a double quote
	NoQuotes   bool           // nothing is quoted: a quote is a character as any other
	NoHeader   bool           // no header row: the columns of the file are Columns, in that order
	SkipLines  int            // before the header row or, without one, before the first row
	Footers    []string       // the table ends before a line that begins with one of these
	Trim       bool           // blanks around what stands in a cell do not belong to it
}

// noValue is, as in SDMX, what a blank figure stands for that is an observation without a value.
const noValue = "NaN"

// LayoutColumn says what one column of the file is.
type LayoutColumn struct {
	Header    string
	Component string     // "": known, and not read
	Blank     string     // what a blank cell stands for; "": it is an error, but of an attribute an absent value; of a figure also NaN
	Blanks    []string   // texts that mean as much as a blank cell
	Case      LetterCase // in which the labels are read

	// Of a column of figures: components, TIME_PERIOD among them, that all its figures have with the same value. Several
	// columns may hold figures where each has other values of the same components.
	Constants map[string]string
	SkipBlank bool // of a column of figures: a blank cell is no figure
	Total     bool // the column is no component; it must hold the sum of the row's figures
}

// LetterCase says in which letters labels are read.
type LetterCase uint8

// The letter cases.
const (
	AsWritten LetterCase = iota
	UpperCase
	LowerCase
)

// LayoutNumbers says how figures are written.
type LayoutNumbers struct {
	Decimal   string // the decimal mark, one character; "" is a point
	Thousands string // the character that may stand between thousands; "": none may
}

// LayoutFilter chooses rows by the cell of one column. Only one of Keep and LeaveOut has values.
type LayoutFilter struct {
	Header   string
	Keep     []string // the row is read where its cell is one of these
	LeaveOut []string // the row is left out where its cell is one of these
}

// LayoutPeriod says how TIME_PERIOD is read: from the columns joined with a space, in a format such as "YYYY-MM". The
// frequency is that of the row's FREQ. A format is made of
//
//	YYYY         the year
//	MM DD        the month and the day in two digits; M and D: in one or two
//	MONTH        the name of the month, one of Months
//	Q            the number of the quarter; QQ: the same after a letter Q
//	FF           the number of the month in the fiscal year, in two digits; F: in one or two
//	WW           the number of the ISO week in two digits; W: in one or two; WWW: two digits after a letter W
//	hh mm ss AM  a time of day, which does not matter
//	SERIAL       alone: the number of a day as spreadsheets count them, 1 March 1900 being 61
//
// and of anything but letters, which stands for itself. A date may be any day in the period.
type LayoutPeriod struct {
	Headers    []string // none where the columns of figures have TIME_PERIOD as a constant
	Format     string
	Months     []string   // from January; upper and lower case do not differ
	FiscalYear FiscalYear // of years and quarters; the zero FiscalYear: they are those of the calendar
}

// FiscalYear says when a fiscal year begins, and which one it is.
type FiscalYear struct {
	FirstMonth   int  // from 1 to 12
	NamedByStart bool // it is called by the calendar year in which it begins, not by the one in which it ends
}

// DuplicateRule says what happens to rows that fall on one key.
type DuplicateRule uint8

// The duplicate rules. All but the first make a note of each such row.
const (
	RejectDuplicates DuplicateRule = iota
	SumDuplicates
	KeepFirst // the row that stands first counts
	KeepLast  // the row that stands last counts
)

// delimiter returns the character that separates cells.
func (l Layout) delimiter() string {
	if l.Delimiter == "" {
		return ","
	}
	return l.Delimiter
}

// quote returns the character that stands around cells; "" where none does.
func (l Layout) quote() string {
	switch {
	case l.NoQuotes:
		return ""
	case l.Quote == "":
		return `"`
	}
	return l.Quote
}
