package statistics

import (
	"strconv"
	"strings"
)

// exactDigits is how many decimal digits a float64 can hold whatever they are.
const exactDigits = 15

// parse reads a finite decimal number: an optional minus sign, digits, and digits after the decimal mark. Between
// thousands the digits before the mark may be separated, all of them or none.
func (n LayoutNumbers) parse(text string) (float64, bool) {
	sign := ""
	whole, fraction, marked := strings.Cut(text, n.decimal())
	if rest, negative := strings.CutPrefix(whole, "-"); negative {
		sign, whole = "-", rest
	}
	if n.Thousands != "" && strings.Contains(whole, n.Thousands) {
		groups := strings.Split(whole, n.Thousands)
		for i, group := range groups {
			if len(group) != 3 && (i > 0 || len(group) > 3 || group == "") {
				return 0, false
			}
		}
		whole = strings.Join(groups, "")
	}
	if !digits(whole) || marked && !digits(fraction) {
		return 0, false
	}
	if !marked && len(whole) <= exactDigits {
		figure := 0
		for i := range len(whole) {
			figure = 10*figure + int(whole[i]-'0')
		}
		if sign != "" {
			figure = -figure
		}
		return float64(figure), true
	}
	plain := sign + whole
	if marked {
		plain += "." + fraction
	}
	figure, err := strconv.ParseFloat(plain, 64)
	return figure + 0, err == nil // + 0: the figure -0 is 0
}

func (n LayoutNumbers) decimal() string {
	if n.Decimal == "" {
		return "."
	}
	return n.Decimal
}

// examples returns numbers as the layout writes them.
func (n LayoutNumbers) examples() string {
	return "1" + n.Thousands + "204 or -3" + n.decimal() + "5"
}

// check reports marks that could be taken for something else.
func (n LayoutNumbers) check(violations *violations) {
	usable := func(mark string) bool {
		return len([]rune(mark)) == 1 && !strings.ContainsAny(mark, "0123456789-\"\r\n\x00\uFFFD")
	}
	if n.Decimal != "" && !usable(n.Decimal) {
		violations.add("layout.numbers.decimal", "%q is not one character that can stand in a number", n.Decimal)
	}
	if n.Thousands != "" && (!usable(n.Thousands) || n.Thousands == n.decimal()) {
		violations.add("layout.numbers.thousands", "%q is not one character that can stand in a number, or is the decimal mark", n.Thousands)
	}
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}
