package quality

// Spread says how figures are spread over the codes of a dimension, in one period.
type Spread struct {
	Total float64 // of all codes
	Codes int     // that have a figure
	Rest  float64 // the sum under all codes but the one with the largest
}

// SpreadOf returns the spread of the figures by code.
func SpreadOf(figures []float64) Spread {
	s := Spread{Codes: len(figures)}
	largest := 0.0
	for _, figure := range figures {
		s.Total += figure
		largest = max(largest, figure)
	}
	s.Rest = s.Total - largest
	return s
}

// Collapsed reports whether a breakdown is lost from before to after: what stood under other codes than the largest, at
// least least of them in the unit of the figures and a fiftieth of the total, is gone but for a share of at most keep,
// while the total holds within the factor. What is only named otherwise stays spread, and so does not collapse.
func Collapsed(before, after Spread, least, keep, factor float64) bool {
	return before.Codes >= 2 && before.Rest >= least && before.Rest >= before.Total/50 &&
		after.Rest <= keep*before.Rest && Revise(before.Total, after.Total).Factor <= factor
}
