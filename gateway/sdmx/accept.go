package sdmx

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Format is a form of data messages.
type Format struct {
	Name      string // JSON or CSV
	MediaType string // as the client named it, without parameters
	Version   string // "2.1.0"
	Labels    string // CSV: "id", "name" or "both"
}

// The formats that are written.
const (
	JSON = "json"
	CSV  = "csv"
)

const (
	jsonType = "application/vnd.sdmx.data+json"
	csvType  = "application/vnd.sdmx.data+csv"
)

// ContentType returns the media type with its parameters.
func (f Format) ContentType() string {
	t := f.MediaType
	if strings.Contains(t, "sdmx") {
		t += ";version=" + f.Version
	}
	if f.Name != CSV {
		return t
	}
	if f.Labels != "id" && strings.Contains(t, "sdmx") {
		t += ";labels=" + f.Labels
	}
	return t + ";charset=utf-8"
}

// Extension returns the end of a file's name, with the dot.
func (f Format) Extension() string { return "." + f.Name }

// offer is a format that is written, in the versions that the same bytes are valid in, the newest first.
type offer struct {
	mediaTypes []string // the first is its own
	format     string
	versions   []string
}

// offers lists what is written, the default first.
func offers() []offer {
	return []offer{
		{[]string{jsonType, "application/json"}, JSON, []string{"2.1.0"}},
		{[]string{csvType, "text/csv"}, CSV, []string{"2.1.0", "2.0.0"}},
	}
}

// Negotiate chooses the format by the parameters format and formatVersion, else by the Accept header. Of what is
// offered, that with the highest q is chosen, then the more specific, then the default. The error is 406.
func Negotiate(format, formatVersion, accept string) (Format, error) {
	if format != "" {
		return byName(format, formatVersion)
	}
	if strings.TrimSpace(accept) == "" {
		accept = "*/*"
	}
	ranges := ParseAccept(accept)
	best, bestQ, bestSpecific := Format{}, 0.0, -1
	for _, o := range offers() {
		f, q, specific := o.quality(ranges)
		if q > bestQ || q == bestQ && q > 0 && specific > bestSpecific {
			best, bestQ, bestSpecific = f, q, specific
		}
	}
	if bestQ == 0 {
		return Format{}, notAcceptable(accept)
	}
	return best, nil
}

// quality returns what the most specific of the ranges that fit says of the offer; of two, the one with the higher q.
func (o offer) quality(ranges []MediaRange) (f Format, q float64, specific int) {
	specific = -1
	for _, r := range ranges {
		mediaType, how := r.covers(o.mediaTypes)
		if how < 0 {
			continue
		}
		candidate, ok := o.fit(mediaType, r.Parameters)
		if ok && (how > specific || how == specific && r.Q > q) {
			f, q, specific = candidate, r.Q, how
		}
	}
	return f, q, specific
}

func byName(format, version string) (Format, error) {
	name := ""
	switch strings.ToLower(format) {
	case "jsondata", "json", "sdmx-json":
		name = JSON
	case "csvdata", "csv", "csvfile", "sdmx-csv", "csvfilewithlabels":
		name = CSV
	}
	for _, o := range offers() {
		if o.format != name {
			continue
		}
		parameters := map[string]string{}
		if version != "" {
			parameters["version"] = version
		}
		if strings.EqualFold(format, "csvfilewithlabels") {
			parameters["labels"] = "both"
		}
		if f, ok := o.fit(o.mediaTypes[0], parameters); ok {
			return f, nil
		}
	}
	return Format{}, notAcceptable("format=" + format + " " + version)
}

// fit returns the format if the parameters of a media range can be met.
func (o offer) fit(mediaType string, parameters map[string]string) (Format, bool) {
	f := Format{Name: o.format, MediaType: mediaType, Version: o.versions[0], Labels: "id"}
	for key, value := range parameters {
		switch key {
		case "version":
			i := slices.IndexFunc(o.versions, func(v string) bool { return v == value || strings.HasPrefix(v, value+".") })
			if i < 0 {
				return Format{}, false
			}
			f.Version = o.versions[i]
		case "labels":
			if o.format != CSV || value != "id" && value != "name" && value != "both" {
				return Format{}, false
			}
			f.Labels = value
		case "timeformat":
			if value != "original" {
				return Format{}, false
			}
		case "keys":
			if value != "none" {
				return Format{}, false
			}
		case "charset":
			if !strings.EqualFold(value, "utf-8") {
				return Format{}, false
			}
		case "urn":
		default:
			return Format{}, false
		}
	}
	return f, true
}

func notAcceptable(asked string) error {
	return &Error{Status: http.StatusNotAcceptable, Title: "No format fits " + strconv.Quote(asked) + "; there are " +
		jsonType + ";version=2.1.0 and " + csvType + ";version=2.1.0."}
}

// MediaRange is an element of an Accept header.
type MediaRange struct {
	Type       string            // in lower case, for example "text/*"
	Parameters map[string]string // names in lower case; q left out
	Q          float64           // from 0 to 1
}

// ParseAccept reads an Accept header (RFC 9110, section 12.5.1). Elements that cannot be read are left out. A "+" in a
// type may have come as a space, from clients that decode a URL they were given.
func ParseAccept(header string) []MediaRange {
	var ranges []MediaRange
	for element := range strings.SplitSeq(header, ",") {
		fields := strings.Split(element, ";")
		r := MediaRange{
			Type:       strings.ToLower(strings.ReplaceAll(strings.TrimSpace(fields[0]), " ", "+")),
			Parameters: map[string]string{}, Q: 1,
		}
		whole, part, ok := strings.Cut(r.Type, "/")
		if !ok || whole == "" || part == "" {
			continue
		}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(field, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch name {
			case "":
			case "q":
				q, err := strconv.ParseFloat(value, 64)
				ok = ok && err == nil && q >= 0 && q <= 1
				r.Q = q
			default:
				r.Parameters[name] = value
			}
		}
		if ok {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// covers returns which of the types the range covers, and how specific it is, from 0; -1: it covers none.
func (r MediaRange) covers(types []string) (mediaType string, specific int) {
	specific = -1
	for _, t := range types {
		whole, _, _ := strings.Cut(t, "/")
		how := -1
		switch r.Type {
		case t:
			how = 2
		case whole + "/*":
			how = 1
		case "*/*":
			how = 0
		}
		if how > specific {
			mediaType, specific = t, how
		}
	}
	return mediaType, specific
}

// Language returns the first language of an Accept-Language header by q, without its region, or "".
func Language(header string) string {
	best, bestQ := "", 0.0
	for element := range strings.SplitSeq(header, ",") {
		tag, parameters, _ := strings.Cut(element, ";")
		tag, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q="); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		if tag != "" && tag != "*" && q > bestQ {
			best, bestQ = tag, q
		}
	}
	return best
}
