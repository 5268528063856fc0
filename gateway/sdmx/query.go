package sdmx

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
)

// The two ways in which a JSON message groups observations.
const (
	TimeSeries    = block.TimePeriod // by series, one observation a period
	AllDimensions = "AllDimensions"  // not at all
)

// DataQuery is a data query as the URL says it, before it is held against a structure.
type DataQuery struct {
	Agencies, IDs, Versions []string // of the dataflow; "*" is any, "+" and "~" are the latest version
	Keys                    []Key    // none: every series
	Conditions              []Condition
	StartPeriod             string // the parameters startPeriod and endPeriod, or ""
	EndPeriod               string
	AsOf                    time.Time // the state of the data at that moment; zero: now
	UpdatedAfter            time.Time // only what changed after that moment; zero: everything
	Window                  Window
	Sort                    []Order    // none: by series and period
	DimensionAtObservation  string     // TimeSeries or AllDimensions
	Attributes              []string   // the parameter as it stands
	Measures                []string   // the parameter as it stands
	Format                  string     // the parameter as it stands, with FormatVersion; they go before Accept
	FormatVersion           string     // the parameter as it stands
	Language                string     // the parameter lang; it goes before Accept-Language
	Others                  url.Values // parameters that SDMX does not know
}

// Window chooses observations by their place. Zero fields do not choose.
//
// First and Last count within each series: the first n, the last n, or both. Offset and Limit count over all that is
// left then.
type Window struct{ First, Last, Offset, Limit int }

// Order sorts by a component: "*", all dimensions, and "series_key", all but TIME_PERIOD, stand for several.
type Order struct {
	Component  string
	Descending bool
}

// ParseDataQuery reads what follows "/data/" in a path, as it stands in the URL, and the query string.
//
// Parts that are left out at the end of the path, and a slash there, mean any. A "+" is a plus, whether it is
// percent-encoded or not; in the key, an encoded one belongs to the code. Parameters behind a "&" without a "?" before
// it are read too, because some clients write them so.
func ParseDataQuery(escapedPath, rawQuery string) (*DataQuery, error) {
	if path, parameters, found := strings.Cut(escapedPath, "&"); found {
		escapedPath, rawQuery = path, strings.TrimSuffix(parameters+"&"+rawQuery, "&")
	}
	parts := strings.Split(strings.TrimSuffix(escapedPath, "/"), "/")
	if len(parts) > 5 {
		return nil, badRequest("The path has more parts than context, agency, id, version and key.")
	}
	for len(parts) < 5 {
		parts = append(parts, "")
	}
	q := &DataQuery{DimensionAtObservation: TimeSeries, Others: url.Values{}}
	switch parts[0] {
	case "dataflow", "*", "%2A", "":
	case "datastructure", "provisionagreement":
		return nil, notOffered("Data are offered by dataflow; the context %s is not.", parts[0])
	default:
		return nil, badRequest("%q is no context; there are dataflow and *.", parts[0])
	}
	for i, list := range []*[]string{&q.Agencies, &q.IDs, &q.Versions} {
		var err error
		if *list, err = splitPart(parts[i+1]); err != nil {
			return nil, err
		}
	}
	var err error
	if q.Keys, err = ParseKeys(parts[4]); err != nil {
		return nil, err
	}
	if err := q.readParameters(rawQuery); err != nil {
		return nil, err
	}
	return q, nil
}

func splitPart(escaped string) ([]string, error) {
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, badRequest("%q in the path is not percent-encoded correctly.", escaped)
	}
	if text == "" || text == "all" {
		return []string{"*"}, nil
	}
	values := strings.Split(text, ",")
	if slices.Contains(values, "") {
		return nil, badRequest("%q in the path holds an empty value.", text)
	}
	return values, nil
}

// Parameter is a parameter of a query string.
type Parameter struct{ Name, Value string }

// ParseParameters reads a query string as SDMX REST has it: a "+" is a plus, whether it is percent-encoded or not. No
// parameter may stand twice, but those named.
func ParseParameters(rawQuery string, repeatable ...string) ([]Parameter, error) {
	var parameters []Parameter
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, errName := url.PathUnescape(rawName)
		value, errValue := url.PathUnescape(rawValue)
		if errName != nil || errValue != nil {
			return nil, badRequest("%q in the query is not percent-encoded correctly.", pair)
		}
		if seen[name] && !slices.Contains(repeatable, name) {
			return nil, badRequest("The parameter %s stands twice.", name)
		}
		seen[name] = true
		parameters = append(parameters, Parameter{name, value})
	}
	return parameters, nil
}

// Filtered returns the component that a parameter c[COMPONENT] filters by, or false where it is another parameter.
func (p Parameter) Filtered() (component string, ok bool) {
	component, ok = strings.CutPrefix(p.Name, "c[")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(component, "]"), true
}

// Condition reads the parameter c[COMPONENT].
func (p Parameter) Condition() (Condition, error) {
	component, ok := p.Filtered()
	if !ok || component == "" || p.Name != "c["+component+"]" {
		return Condition{}, badRequest("%q is no filter of the form c[COMPONENT]=value.", p.Name)
	}
	return ParseCondition(component, p.Value)
}

func (q *DataQuery) readParameters(rawQuery string) error {
	parameters, err := ParseParameters(rawQuery, "provider")
	if err != nil {
		return err
	}
	for _, p := range parameters {
		if err := q.readParameter(p); err != nil {
			return err
		}
	}
	return nil
}

func (q *DataQuery) readParameter(p Parameter) (err error) {
	if _, ok := p.Filtered(); ok {
		c, err := p.Condition()
		q.Conditions = append(q.Conditions, c)
		return err
	}
	name, value := p.Name, p.Value
	switch name {
	case "startPeriod", "endPeriod":
		p, err := period.Parse(value)
		if err != nil {
			return badRequest("%s: %v.", name, err)
		}
		if name == "startPeriod" {
			q.StartPeriod = p.String()
		} else {
			q.EndPeriod = p.String()
		}
	case "firstNObservations":
		q.Window.First, err = positive(name, value, 1)
	case "lastNObservations":
		q.Window.Last, err = positive(name, value, 1)
	case "offset":
		q.Window.Offset, err = positive(name, value, 0)
	case "limit":
		q.Window.Limit, err = positive(name, value, 1)
	case "asOf":
		q.AsOf, err = parseMoment(name, value)
	case "updatedAfter":
		q.UpdatedAfter, err = parseMoment(name, value)
	case "sort":
		q.Sort, err = parseSort(value)
	case "dimensionAtObservation":
		q.DimensionAtObservation = value
	case "attributes":
		q.Attributes = strings.Split(value, ",")
	case "measures":
		q.Measures = strings.Split(value, ",")
	case "format":
		q.Format = value
	case "formatVersion":
		q.FormatVersion = value
	case "lang":
		q.Language = value
	case "detail":
		err = q.readDetail(value)
	case "includeHistory":
		if value != "false" {
			err = notOffered("includeHistory is not offered; asOf gives the state of the data at a moment.")
		}
	case "reportingYearStartDay":
		err = notOffered("The parameter %s is not offered.", name)
	default:
		q.Others.Add(name, value)
	}
	return err
}

// readDetail reads a parameter of older versions of SDMX REST, which many clients still send.
func (q *DataQuery) readDetail(value string) error {
	switch value {
	case "full":
	case "dataonly":
		q.Attributes = []string{"none"}
	default:
		return notOffered("detail=%s is not offered; there are full and dataonly.", value)
	}
	return nil
}

func positive(name, value string, least int) (int, error) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || int(n) < least {
		return 0, badRequest("%s=%s is no whole number of at least %d and at most %d.", name, value, least, math.MaxInt32)
	}
	return int(n), nil
}

// parseSort reads the parameter sort: components separated by "+", each with ":asc" or ":desc" after it.
func parseSort(value string) ([]Order, error) {
	var orders []Order
	for part := range strings.SplitSeq(value, "+") {
		component, direction, directed := strings.Cut(part, ":")
		if component == "" || directed && direction != "asc" && direction != "desc" {
			return nil, badRequest("sort=%s is not of the form COMPONENT:asc+COMPONENT:desc.", value)
		}
		orders = append(orders, Order{Component: component, Descending: direction == "desc"})
	}
	return orders, nil
}

// parseMoment reads an xs:dateTime or a date; without an offset it is UTC. A space is taken for the plus of an offset.
func parseMoment(name, value string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, strings.Replace(value, " ", "+", 1)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, badRequest("%s=%s is no moment such as 2024-01-31T12:00:00Z.", name, value)
}

// Dataflow returns the one dataflow that the path names, if it names one without wildcards and lists. The version is
// empty where the latest is meant.
func (q *DataQuery) Dataflow() (Ref, bool) {
	for _, list := range [][]string{q.Agencies, q.IDs, q.Versions} {
		if len(list) != 1 {
			return Ref{}, false
		}
	}
	ref := Ref{Agency: q.Agencies[0], ID: q.IDs[0], Version: q.Versions[0]}
	if latest(ref.Version) {
		ref.Version = ""
	}
	return ref, ref.Agency != "*" && ref.ID != "*" && !strings.ContainsAny(ref.Version, "*+~")
}

// Matches reports whether the path names the dataflow. Where the latest version is meant, every version matches.
func (q *DataQuery) Matches(ref Ref) bool {
	return matches(q.Agencies, ref.Agency) && matches(q.IDs, ref.ID) &&
		(slices.ContainsFunc(q.Versions, latest) || slices.ContainsFunc(q.Versions, func(pattern string) bool { return matchesVersion(pattern, ref.Version) }))
}

func matches(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}

func latest(version string) bool {
	return slices.Contains([]string{"", "*", "+", "~", "latest"}, version)
}

// matchesVersion reports whether a version has the numbers of a pattern such as "1", "2.3+.1" or "1.*": each number is
// equal, or not less where "+" or "~" stands behind it, or any where "*" stands.
func matchesVersion(pattern, version string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(version, ".")
	for i, w := range want {
		if i >= len(have) {
			return false
		}
		number, open := strings.CutSuffix(strings.TrimSuffix(w, "~"), "+")
		open = open || strings.HasSuffix(w, "~")
		if w == "*" || open && number == "" {
			return true
		}
		least, err1 := strconv.Atoi(number)
		n, err2 := strconv.Atoi(have[i])
		switch {
		case err1 != nil || err2 != nil:
			if w != have[i] {
				return false
			}
		case open && n != least:
			return n > least
		case n != least:
			return false
		}
	}
	return true
}

// Bound is a query held against a structure: what to ask of a store.
type Bound struct {
	Selections  []Selection   // dimensions fixed to codes, in key order, each at most once
	Filter      filter.Filter // over the rows that the selections leave
	StartPeriod string        // the first and the last period, or ""
	EndPeriod   string
	Order       []Order // by components of the structure; none: by series and period
	Scattered   bool    // the order takes series apart
}

// Bind holds the query against a structure. Its errors name what the structure does not have.
//
// A dimension that the key fixes is selected, and so is one that the key leaves open and a c parameter restricts to
// codes: both mean the same. All else becomes the filter.
func (q *DataQuery) Bind(s *Structure) (*Bound, error) {
	selections, keys, err := bindKeys(q.Keys, s)
	if err != nil {
		return nil, err
	}
	b := &Bound{Selections: selections, StartPeriod: q.StartPeriod, EndPeriod: q.EndPeriod}
	var conditions []filter.Filter
	if !keys.IsTrue() {
		conditions = append(conditions, keys)
	}
	for _, c := range q.Conditions {
		condition, err := b.bindCondition(c, q.Keys, s)
		if err != nil {
			return nil, err
		}
		if !condition.IsTrue() {
			conditions = append(conditions, condition)
		}
	}
	slices.SortFunc(b.Selections, func(x, y Selection) int { return s.dimension(x.Dimension) - s.dimension(y.Dimension) })
	b.Filter = all(conditions)
	if err := b.Filter.Check(); err != nil {
		return nil, badRequest("The query is too large: %v.", err)
	}
	if err := b.order(q.Sort, s); err != nil {
		return nil, err
	}
	switch q.DimensionAtObservation {
	case TimeSeries, AllDimensions:
	default:
		if s.dimension(q.DimensionAtObservation) < 0 {
			return nil, badRequest("%s has no dimension %s.", s.Dataflow, q.DimensionAtObservation)
		}
		return nil, notOffered("dimensionAtObservation may be %s or %s.", TimeSeries, AllDimensions)
	}
	return b, nil
}

// Condition returns the selections and the filter as one filter over rows.
func (b *Bound) Condition() filter.Filter {
	var conditions []filter.Filter
	for _, s := range b.Selections {
		conditions = append(conditions, oneOf(s.Dimension, s.Codes))
	}
	if !b.Filter.IsTrue() {
		conditions = append(conditions, b.Filter)
	}
	return all(conditions)
}

// order holds what to sort by against the structure. Rows that are equal stay as they are: in the order of series and
// periods. So series stay together until something that differs within them is sorted by before all that they differ in.
func (b *Bound) order(orders []Order, s *Structure) error {
	fixed, seen := map[string]bool{}, map[string]bool{}
	for _, o := range orders {
		components := []string{o.Component}
		switch {
		case o.Component == "*":
			components = append(dimensionIDs(s), block.TimePeriod)
		case o.Component == "series_key":
			components = dimensionIDs(s)
		case s.dimension(o.Component) >= 0:
		case o.Component == block.TimePeriod, o.Component == block.ObsValue, s.hasAttribute(o.Component):
		default:
			return badRequest("sort: %s has no component %s.", s.Dataflow, o.Component)
		}
		for _, id := range components {
			if seen[id] {
				continue // it is sorted by already
			}
			seen[id] = true
			if s.dimension(id) >= 0 {
				fixed[id] = true
			} else if len(fixed) < len(s.Dimensions) {
				b.Scattered = true
			}
			b.Order = append(b.Order, Order{id, o.Descending})
		}
	}
	return nil
}

// bindCondition returns what remains of c as a filter, after b has taken what it can.
func (b *Bound) bindCondition(c Condition, keys []Key, s *Structure) (filter.Filter, error) {
	dimension := s.dimension(c.Component)
	switch {
	case dimension >= 0:
		_, fixed := union(keys, dimension)
		if codes, ok := c.codes(); ok && (len(keys) == 0 || !fixed && !mixed(keys, dimension)) {
			slices.Sort(codes)
			b.Selections = append(b.Selections, Selection{Dimension: c.Component, Codes: slices.Compact(codes)})
			return filter.True(), nil
		}
	case c.Component == block.TimePeriod:
		if start, end, ok := c.span(); ok && (start == "" || b.StartPeriod == "") && (end == "" || b.EndPeriod == "") {
			b.StartPeriod += start
			b.EndPeriod += end
			return filter.True(), nil
		}
	}
	return s.condition(c)
}

// mixed reports whether some of the keys fix the dimension and others do not.
func mixed(keys []Key, dimension int) bool {
	codes, fixed := union(keys, dimension)
	return !fixed && len(codes) > 0
}

// Shown returns the structure with only those attributes that the query asks for, and whether it asks for the measure.
func (q *DataQuery) Shown(s *Structure) (*Structure, bool, error) {
	measure := true
	for _, id := range q.Measures {
		switch id {
		case "all", block.ObsValue:
		case "none":
			measure = false
		default:
			return nil, false, badRequest("%s has no measure %s.", s.Dataflow, id)
		}
	}
	shown := *s
	if len(q.Attributes) == 0 {
		return &shown, measure, nil
	}
	shown.Attributes = nil
	for _, id := range q.Attributes {
		switch id {
		case "dsd", "all", "obs":
			shown.Attributes = s.Attributes
			return &shown, measure, nil
		case "none", "msd", "dataset", "series":
		default:
			if !s.hasAttribute(id) {
				return nil, false, badRequest("%s has no attribute %s.", s.Dataflow, id)
			}
		}
	}
	for _, a := range s.Attributes {
		if slices.Contains(q.Attributes, a.ID) {
			shown.Attributes = append(shown.Attributes, a)
		}
	}
	return &shown, measure, nil
}

// formatNumber returns the shortest decimal text that reads back as v.
func formatNumber(v float64) string { return string(appendNumber(nil, v)) }

// appendNumber appends that text. Most figures are counts, which are written faster as integers.
func appendNumber(to []byte, v float64) []byte {
	if n := int64(v); float64(n) == v && n > -1<<53 && n < 1<<53 && (n != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(to, n, 10)
	}
	return strconv.AppendFloat(to, v, 'f', -1, 64)
}

// CompareVersions compares two semantic versions by their numbers; a stable one is greater than a draft of it.
func CompareVersions(a, b string) int {
	a, draftA, _ := strings.Cut(a, "-")
	b, draftB, _ := strings.Cut(b, "-")
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if c := number(x, i) - number(y, i); c != 0 {
			return c
		}
	}
	switch {
	case draftA == draftB:
		return 0
	case draftA == "":
		return 1
	case draftB == "":
		return -1
	}
	return strings.Compare(draftA, draftB)
}

// number returns the number at a place of a version; what is missing or no number is 0.
func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}
