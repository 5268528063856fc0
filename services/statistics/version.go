package statistics

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is the version of an artefact, as SDMX 3 has them (Technical Notes, section "Semantic Versioning"):
// MAJOR.MINOR.PATCH, with an extension after a hyphen where it is not final, such as "1.2.0-draft"; or MAJOR or MAJOR.MINOR
// alone, as SDMX 2 had them.
type Version struct {
	numbers   [3]int
	parts     int // how many of the numbers there are
	extension string
}

var (
	versionPattern   = regexp.MustCompile(`^(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z.-]+))?)?)?$`)
	extensionPattern = regexp.MustCompile(`^(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)$`) // one part of it
)

// ParseVersion reads a version.
func ParseVersion(text string) (Version, error) {
	wrong := fmt.Errorf("%q is no version such as 1.0.0 or 1.2.0-draft", text)
	match := versionPattern.FindStringSubmatch(text)
	if match == nil || len(text) > maxVersion {
		return Version{}, wrong
	}
	v := Version{extension: match[4]}
	for _, number := range match[1:4] {
		if number == "" {
			break
		}
		n, err := strconv.Atoi(number)
		if err != nil || n > math.MaxInt32 {
			return Version{}, wrong
		}
		v.numbers[v.parts] = n
		v.parts++
	}
	if v.extension != "" {
		for part := range strings.SplitSeq(v.extension, ".") {
			if !extensionPattern.MatchString(part) {
				return Version{}, wrong
			}
		}
	}
	return v, nil
}

const maxVersion = 64 // characters

// String returns the version as it is written.
func (v Version) String() string {
	var text strings.Builder
	for i, number := range v.numbers[:v.parts] {
		if i > 0 {
			text.WriteByte('.')
		}
		text.WriteString(strconv.Itoa(number))
	}
	if v.extension != "" {
		text.WriteString("-" + v.extension)
	}
	return text.String()
}

// IsDraft reports whether the artefact may still change: it has an extension, or the major part of its semantic version is 0.
func (v Version) IsDraft() bool {
	return v.extension != "" || v.parts == len(v.numbers) && v.numbers[0] == 0
}

// Compare orders versions: by their numbers, 1 before 1.0 before 1.0.0, and a version with an extension before the one
// without. Extensions are ordered part by part, numbers as numbers and before texts (Semantic Versioning 2.0.0, item 11).
func (v Version) Compare(o Version) int {
	if order := slices.Compare(v.numbers[:v.parts], o.numbers[:o.parts]); order != 0 {
		return order
	}
	if v.extension == "" || o.extension == "" {
		return cmp.Compare(o.extension, v.extension) // the empty one is last
	}
	return slices.CompareFunc(strings.Split(v.extension, "."), strings.Split(o.extension, "."), compareExtensions)
}

func compareExtensions(a, b string) int {
	numberA, numberB := isNumber(a), isNumber(b)
	switch {
	case numberA && numberB:
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // they have no leading zeros
	case numberA:
		return -1
	case numberB:
		return 1
	}
	return cmp.Compare(a, b)
}

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }

// VersionQuery chooses among the versions of an artefact, as queries of SDMX REST 2 do ("Query syntax for specific, latest or
// all artefact versions"). It is a version, or has one of these marks after a number or in the place of one:
//
//   - the latest semantic version that is no draft
//     ~  the latest
//   - all
//
// What stands before the mark is fixed; the number at the mark and those after it are the least that there may be, so
// that "2.3+.1" is at least 2.3.1 and below 3.0.0. A mark alone, as in "*", does not ask for a number of parts; "2.3+" is
// short for "2.3+.0".
type VersionQuery struct {
	least Version
	mark  byte // 0: exactly least
	at    int  // the position of the mark
	any   bool // of any number of parts
}

// The marks of a version query.
const (
	latestStable = '+'
	latest       = '~'
	every        = '*'
)

// ParseVersionQuery reads a version query; the empty text is that for the latest: one that is no draft, where there is one.
func ParseVersionQuery(text string) (VersionQuery, error) {
	at := strings.IndexAny(text, "+~*")
	if at < 0 {
		v, err := ParseVersion(text)
		return VersionQuery{least: v}, err
	}
	q := VersionQuery{mark: text[at], at: strings.Count(text[:at], "."), any: len(text) == 1 && text[at] != latestStable}
	plain := text[:at] + text[at+1:]
	if at == 0 || text[at-1] == '.' { // the mark stands for the number
		plain = text[:at] + "0" + text[at+1:]
	}
	var err error
	q.least, err = ParseVersion(plain)
	misplaced := at+1 < len(text) && text[at+1] != '.'
	if err != nil || misplaced || q.least.extension != "" {
		return VersionQuery{}, fmt.Errorf("%q is no version, nor a query for versions such as 2.3+.1, ~ or 1.*.0", text)
	}
	if q.mark == latestStable {
		q.least.parts = len(q.least.numbers)
	}
	return q, nil
}

// matches reports whether the version is one of those that the latest or all are asked for of.
func (q VersionQuery) matches(v Version) bool {
	switch {
	case q.mark == 0:
		return v == q.least
	case q.any:
		return true
	case q.mark == latestStable && v.IsDraft(), v.parts != q.least.parts:
		return false
	}
	return slices.Equal(v.numbers[:q.at], q.least.numbers[:q.at]) &&
		slices.Compare(v.numbers[q.at:], q.least.numbers[q.at:]) >= 0
}

// Select returns those of the versions that the query asks for, ascending.
func (q VersionQuery) Select(versions []Version) []Version {
	var chosen []Version
	for _, v := range versions {
		if q.matches(v) {
			chosen = append(chosen, v)
		}
	}
	slices.SortFunc(chosen, Version.Compare)
	if (q.mark == latestStable || q.mark == latest) && len(chosen) > 1 {
		chosen = chosen[len(chosen)-1:]
	}
	return chosen
}

// resolveVersion returns the one version that a query means, of those that there are. A + means drafts as well where the
// artefact that refers is one. The empty text is the latest version that is no draft, else the latest draft.
func resolveVersion(text string, versions []Version, drafts bool) (Version, bool) {
	if text == "" {
		return newest(versions)
	}
	q, err := ParseVersionQuery(text)
	if err != nil || q.mark == every {
		return Version{}, false
	}
	if q.mark == latestStable && drafts {
		q.mark = latest
	}
	chosen := q.Select(versions)
	if len(chosen) == 0 {
		return Version{}, false
	}
	return chosen[len(chosen)-1], true
}

// newest returns the latest version that is no draft; where all are drafts, the latest.
func newest(versions []Version) (found Version, ok bool) {
	for _, v := range versions {
		better := v.Compare(found) > 0
		if v.IsDraft() != found.IsDraft() {
			better = !v.IsDraft()
		}
		if !ok || better {
			found, ok = v, true
		}
	}
	return found, ok
}
