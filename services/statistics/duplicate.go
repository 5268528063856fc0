package statistics

import "fmt"

// maxDuplicates is how many rows that fall on the key of an earlier one have a note of their own.
const maxDuplicates = 100

// duplicates are the rows of an upload that fall on the key and period of an earlier one.
type duplicates struct {
	rule  DuplicateRule
	count int // of them, where they do not reject the upload
}

// addDuplicate does with a cell what the rule says where its key and period have one already, and reports it. row is the
// number of the row in the upload, from 1.
func (l *loader) addDuplicate(series int, period int32, cell Cell, row int) {
	before := l.table.At(series, period)
	severity, fate := Note, ""
	switch l.same.rule {
	case RejectDuplicates:
		severity, fate = Blocking, "each may stand once"
	case SumDuplicates:
		l.table.Sum(series, period, cell)
		sum := l.table.At(series, period)
		sum.Line = before.Line // where the key stands first
		l.table.Set(series, period, sum)
		fate = "they are summed"
	case KeepFirst:
		fate = "the first is kept"
	case KeepLast:
		l.table.Set(series, period, cell)
		fate = "the last is kept"
	}
	if severity == Note {
		if l.same.count++; l.same.count > maxDuplicates {
			return
		}
	}
	earlier := "an earlier row"
	if before.Line > 0 {
		earlier = fmt.Sprintf("line %d", before.Line)
	}
	this := "the row"
	if cell.Line == 0 {
		this = fmt.Sprintf("row %d", row)
	}
	was, is := figureText(before.Value), figureText(cell.Value)
	l.report.Add(Finding{
		Rule: "DUPLICATE_KEY", Severity: severity, Line: int(cell.Line), Values: append(l.keyTexts(l.table.Key(series), period), was, is),
		Message: fmt.Sprintf("%s has the same key and period as %s, with %s here and %s there: %s", this, earlier, is, was, fate),
	})
}

// noteDuplicates says how many rows have no note of their own.
func (l *loader) noteDuplicates() {
	if rest := l.same.count - maxDuplicates; rest > 0 {
		l.report.Add(Finding{
			Rule: "DUPLICATE_KEY", Severity: Note,
			Message: fmt.Sprintf("%d further rows have the same key and period as an earlier one", rest),
		})
	}
}
