package rpc

import (
	"fmt"
	"strings"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// told is what an answer says of its cells: "key status lower upper", those that are shown in short.
func told(cells []*sharingpb.ProtectedCell) string {
	var lines []string
	for _, c := range cells {
		line := strings.Join(c.GetKey(), ".") + " " + c.GetStatus().String()
		if s := c.GetStatus(); s == sharingpb.DisclosureCell_PRIMARY || s == sharingpb.DisclosureCell_SECONDARY {
			line += fmt.Sprintf(" %v–%v", c.GetLower(), c.GetUpper())
			if !c.GetExact() {
				line += " or so"
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

// line is a table of one dimension with the parts A, B, C of T: their counts, and more of the request.
func line(total, a, b, c string, more string) string {
	return `{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "A", "parent": "T"}, {"code": "B", "parent": "T"}, {"code": "C", "parent": "T"}]}],
		"cells": [{"key": ["T"], ` + total + `}, {"key": ["A"], ` + a + `}, {"key": ["B"], ` + b + `}, {"key": ["C"], ` + c + `}]` + more + `}`
}

const atLeast3 = `, "rules": {"minimumFrequency": 3}`

func TestDisclosureProtectsOddTables(t *testing.T) {
	plain := func(a, b, c, more string) string {
		return line(`"frequency": 60`, `"frequency": `+a, `"frequency": `+b, `"frequency": `+c, more)
	}
	for name, c := range map[string]struct{ request, want string }{
		"none where no rule is given":                  {plain("1", "2", "57", ""), "T PUBLISHED, A PUBLISHED, B PUBLISHED, C PUBLISHED"},
		"none where the minimum is 0":                  {plain("1", "2", "57", `, "rules": {"minimumFrequency": 0}`), "T PUBLISHED, A PUBLISHED, B PUBLISHED, C PUBLISHED"},
		"none where the minimum is 1":                  {plain("1", "2", "57", `, "rules": {"minimumFrequency": 1}`), "T PUBLISHED, A PUBLISHED, B PUBLISHED, C PUBLISHED"},
		"nothing that cannot be":                       {plain("2", "0", "58", atLeast3), "T PUBLISHED, A PRIMARY 0–60, B EMPTY, C SECONDARY 0–60"},
		"one cell for another":                         {plain("2", "8", "50", atLeast3), "T PUBLISHED, A PRIMARY 0–10, B SECONDARY 0–10, C PUBLISHED"},
		"what the caller says":                         {line(`"frequency": 60`, `"frequency": 20, "status": "PRIMARY"`, `"frequency": 10`, `"frequency": 30`, ""), "T PUBLISHED, A PRIMARY 0–30, B SECONDARY 0–30, C PUBLISHED"},
		"what the caller withheld already":             {line(`"frequency": 60`, `"frequency": 2`, `"frequency": 10`, `"frequency": 48, "status": "SECONDARY"`, atLeast3), "T PUBLISHED, A PRIMARY 0–50, B PUBLISHED, C SECONDARY 0–50"},
		"what the caller would show":                   {line(`"frequency": 60`, `"frequency": 2, "status": "PUBLISHED"`, `"frequency": 8`, `"frequency": 50`, atLeast3), "T PUBLISHED, A PRIMARY 0–10, B SECONDARY 0–10, C PUBLISHED"},
		"as wide as the count, where that is asked":    {line(`"frequency": 60`, `"frequency": 20, "status": "PRIMARY"`, `"frequency": 0`, `"frequency": 40`, `, "relativeWidth": 1`), "T PUBLISHED, A PRIMARY 0–60, B EMPTY, C SECONDARY 0–60"},
		"by more than nothing, where nothing is asked": {line(`"frequency": 60`, `"frequency": 20, "status": "PRIMARY"`, `"frequency": 2`, `"frequency": 38`, `, "relativeWidth": 0`), "T PUBLISHED, A PRIMARY 0–22, B SECONDARY 0–22, C PUBLISHED"},
		"a zero that may be something":                 {line(`"frequency": 60`, `"frequency": 20, "status": "PRIMARY"`, `"frequency": 0, "status": "PUBLISHED"`, `"frequency": 40`, `, "relativeWidth": 1`), "T PUBLISHED, A PRIMARY 0–20, B SECONDARY 0–20, C PUBLISHED"},
		"all of a few":                                 {line(`"frequency": 3`, `"frequency": 1`, `"frequency": 2`, `"frequency": 0`, atLeast3), "T SECONDARY 0–3, A PRIMARY 0–3, B PRIMARY 0–3, C EMPTY"},
		"more for who is alone in a cell":              {line(`"frequency": 60`, `"frequency": 20, "status": "PRIMARY"`, `"frequency": 1`, `"frequency": 39`, ""), "T PUBLISHED, A PRIMARY 0–59, B PUBLISHED, C SECONDARY 0–59"},
		"what one contributor dominates":               {line(`"frequency": 60`, `"frequency": 20, "contributions": [15, 3, 2]`, `"frequency": 10, "contributions": [4, 3, 3]`, `"frequency": 30`, `, "rules": {"dominance": {"n": 1, "k": 70}}`), "T PUBLISHED, A PRIMARY 0–30, B SECONDARY 0–30, C PUBLISHED"},
		"what two contributors dominate":               {line(`"frequency": 60`, `"frequency": 20, "contributions": [10, 8, 2]`, `"frequency": 10, "contributions": [4, 3, 3]`, `"frequency": 30`, `, "rules": {"dominance": {"n": 2, "k": 80}}`), "T PUBLISHED, A PRIMARY 0–30, B SECONDARY 0–30, C PUBLISHED"},
		"whom a contributor knows too well":            {line(`"frequency": 60`, `"frequency": 20, "contributions": [15, 4, 1]`, `"frequency": 10, "contributions": [4, 3, 3]`, `"frequency": 30`, `, "rules": {"pPercent": 10}`), "T PUBLISHED, A PRIMARY 0–30, B SECONDARY 0–30, C PUBLISHED"},
		"contributions that are no count of anything":  {line(`"frequency": 60`, `"frequency": 20, "contributions": [1500.5, 400.25, 1]`, `"frequency": 10`, `"frequency": 30`, `, "rules": {"pPercent": 10}`), "T PUBLISHED, A PRIMARY 0–30, B SECONDARY 0–30, C PUBLISHED"},
		"a large number":                               {line(`"frequency": 1000000000000`, `"frequency": 2`, `"frequency": 999999999990`, `"frequency": 8`, atLeast3), "T PUBLISHED, A PRIMARY 0–10, B PUBLISHED, C SECONDARY 0–10"},
		"a total that nobody can rely on":              {plain("2", "8", "51", atLeast3), "T PUBLISHED, A PRIMARY 0–60, B PUBLISHED, C PUBLISHED"},
		"only a total":                                 {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}]}], "cells": [{"key": ["T"], "frequency": 2}]` + atLeast3 + `}`, "T PRIMARY 0–2"},
		"a total of many":                              {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}]}], "cells": [{"key": ["T"], "frequency": 3}]` + atLeast3 + `}`, "T PUBLISHED"},
		"a part without its total":                     {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "A", "parent": "T"}, {"code": "B", "parent": "T"}]}], "cells": [{"key": ["A"], "frequency": 2}, {"key": ["B"], "frequency": 9}]` + atLeast3 + `}`, "A PRIMARY 0–9, B PUBLISHED"},
		"nothing of nobody":                            {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "A", "parent": "T"}]}], "cells": [{"key": ["T"]}, {"key": ["A"]}]` + atLeast3 + `}`, "T EMPTY, A EMPTY"},
		"a figure by whatever name it goes":            {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "A", "parent": "T"}, {"code": "a", "parent": "A"}, {"code": "B", "parent": "T"}, {"code": "C", "parent": "T"}]}], "cells": [{"key": ["T"], "frequency": 60}, {"key": ["A"], "frequency": 2}, {"key": ["a"], "frequency": 2}, {"key": ["B"], "frequency": 8}, {"key": ["C"], "frequency": 50}]` + atLeast3 + `}`, "T PUBLISHED, A PRIMARY 0–10, a PRIMARY 0–10, B SECONDARY 0–10, C PUBLISHED"},
		"a code that is a part of two": {
			`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "N", "parent": "T"}, {"code": "S", "parent": "T"}, {"code": "a", "parent": "N"}, {"code": "b", "parent": "N"}, {"code": "c", "parent": "S"}, {"code": "d", "parent": "S"},
			{"code": "E", "parent": "T"}, {"code": "W", "parent": "T"}, {"code": "a", "parent": "E"}, {"code": "c", "parent": "E"}, {"code": "b", "parent": "W"}, {"code": "d", "parent": "W"}]}],
			"cells": [{"key": ["T"], "frequency": 100}, {"key": ["N"], "frequency": 22}, {"key": ["S"], "frequency": 78}, {"key": ["E"], "frequency": 32}, {"key": ["W"], "frequency": 68},
				{"key": ["a"], "frequency": 2}, {"key": ["b"], "frequency": 20}, {"key": ["c"], "frequency": 30}, {"key": ["d"], "frequency": 48}]` + atLeast3 + `}`,
			"T PUBLISHED, N PUBLISHED, S PUBLISHED, E PUBLISHED, W PUBLISHED, a PRIMARY 0–22, b SECONDARY 0–22, c SECONDARY 10–32, d SECONDARY 46–68",
		},
	} {
		t.Run("withholding "+name, func(t *testing.T) {
			got, err := NewDisclosure().Protect(t.Context(), read(t, &sharingpb.ProtectRequest{}, c.request))
			if err != nil {
				t.Fatal(err)
			}
			if told(got.GetCells()) != c.want || !got.GetAuditClean() {
				t.Errorf("%v\n  want %v\n  clean: %v, %v", told(got.GetCells()), c.want, got.GetAuditClean(), got.GetFindings())
			}
		})
	}
	t.Run("telling of totals that are not the sum of their parts", func(t *testing.T) {
		got, err := NewDisclosure().Protect(t.Context(), read(t, &sharingpb.ProtectRequest{}, plain("2", "8", "51", atLeast3)))
		if err != nil || len(got.GetFindings()) != 1 || got.GetFindings()[0].GetMessage() != "T = A + B + C: the parts add up to 61, not to 60" {
			t.Error(got.GetFindings(), err)
		}
	})
	t.Run("of five dimensions", func(t *testing.T) {
		request := &sharingpb.ProtectRequest{Rules: &sharingpb.DisclosureRules{MinimumFrequency: 3}}
		for d := range 5 {
			request.Dimensions = append(request.Dimensions, &sharingpb.DisclosureDimension{
				Id: fmt.Sprint("D", d), Codes: []*sharingpb.DisclosureDimension_Code{{Code: "T"}, {Code: "A", Parent: "T"}, {Code: "B", Parent: "T"}},
			})
		}
		for n := range 243 {
			c := &sharingpb.DisclosureCell{Frequency: 1}
			leaves := []int{0} // as bits
			for d, rest := 0, n; d < 5; d, rest = d+1, rest/3 {
				c.Key = append(c.Key, []string{"T", "A", "B"}[rest%3])
				var longer []int
				for _, leaf := range leaves {
					if rest%3 != 2 {
						longer = append(longer, leaf)
					}
					if rest%3 != 1 {
						longer = append(longer, leaf|1<<d)
					}
				}
				leaves = longer
			}
			c.Frequency = 0
			for _, leaf := range leaves {
				c.Frequency += float64(2 + leaf*leaf%7)
			}
			request.Cells = append(request.Cells, c)
		}
		got, err := NewDisclosure().Protect(t.Context(), request)
		if err != nil || !got.GetAuditClean() || got.GetSecondaryCount() == 0 {
			t.Error(got.GetAuditClean(), got.GetSecondaryCount(), err)
		}
	})
}
