package statistics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// Ref names a structural artefact: "AGENCY:ID(VERSION)". The version may be a query for one, see [VersionQuery]. Without a
// version it names the latest.
type Ref struct {
	Agency  string
	ID      string
	Version string
}

var (
	agencyPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z][A-Za-z0-9_-]*)*$`)
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9_@$-]+$`) // of artefacts and of items
)

// ParseRef reads "AGENCY:ID(VERSION)" or "AGENCY:ID".
func ParseRef(text string) (Ref, error) {
	agency, rest, ok := strings.Cut(text, ":")
	id, version := rest, ""
	if open := strings.IndexByte(rest, '('); ok && open >= 0 {
		id, version, ok = rest[:open], strings.TrimSuffix(rest[open+1:], ")"), strings.HasSuffix(rest, ")")
		ok = ok && version != ""
	}
	if !ok || len(text) > maxTextLength || !agencyPattern.MatchString(agency) || !idPattern.MatchString(id) {
		return Ref{}, fault.InvalidField("reference", "%q is not of the form AGENCY:ID(VERSION)", shown(text))
	}
	if version != "" {
		if _, err := ParseVersionQuery(version); err != nil {
			return Ref{}, fault.InvalidField("reference", "%q: %v", shown(text), err)
		}
	}
	return Ref{Agency: agency, ID: id, Version: version}, nil
}

// String returns "AGENCY:ID(VERSION)", or "AGENCY:ID" without a version.
func (r Ref) String() string {
	if r.Version == "" {
		return r.Agency + ":" + r.ID
	}
	return fmt.Sprintf("%s:%s(%s)", r.Agency, r.ID, r.Version)
}

// MarshalText and UnmarshalText store a Ref as its text.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero Ref.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) == 0 || string(text) == ":" {
		*r = Ref{}
		return nil
	}
	parsed, err := ParseRef(string(text))
	*r = parsed
	return err
}

// ItemRef names an item of a scheme: "AGENCY:ID(VERSION).ITEM".
type ItemRef struct {
	Scheme Ref
	Item   string
}

// ParseItemRef reads "AGENCY:ID(VERSION).ITEM".
func ParseItemRef(text string) (ItemRef, error) {
	end := strings.LastIndex(text, ").")
	if end < 0 || !idPattern.MatchString(text[end+2:]) {
		return ItemRef{}, fault.InvalidField("reference", "%q is not of the form AGENCY:ID(VERSION).ITEM", shown(text))
	}
	scheme, err := ParseRef(text[:end+1])
	return ItemRef{Scheme: scheme, Item: text[end+2:]}, err
}

// String returns "AGENCY:ID(VERSION).ITEM".
func (r ItemRef) String() string { return r.Scheme.String() + "." + r.Item }

// MarshalText and UnmarshalText store an ItemRef as its text.
func (r ItemRef) MarshalText() ([]byte, error) {
	if r == (ItemRef{}) {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText reads what MarshalText wrote; the empty text is the zero ItemRef.
func (r *ItemRef) UnmarshalText(text []byte) (err error) {
	*r = ItemRef{}
	if len(text) > 0 {
		*r, err = ParseItemRef(string(text))
	}
	return err
}

// Names are the names of a thing by language tag. So are descriptions.
type Names map[string]string

// Annotation is a remark that goes with an artefact or an item.
type Annotation struct {
	ID    string // "": none
	Title string
	Type  string // what kind of remark it is, such as "CHANGELOG"
	Value string // not in a language
	Texts Names
	URL   string
}

// Codelist is an SDMX codelist with one hierarchy.
type Codelist struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Codes        []Code   // parents before children
	Levels       []string // of the hierarchy, from the coarsest to the finest
}

// Code is an item of a codelist.
type Code struct {
	ID           string
	Parent       string // "" for a root
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Level        string   // one of the codelist's levels
	Covers       []string // siblings that this code contains wholly; never summed together with it
}

// ConceptScheme says what components mean.
type ConceptScheme struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Concepts     []Concept // parents before children
}

// Concept is an item of a concept scheme.
type Concept struct {
	ID           string
	Parent       string // the concept that this one specialises; "" for a root
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Codelist     Ref // the core representation; the zero Ref where any text may stand
}

// OrganisationScheme is a scheme of agencies or of data providers.
type OrganisationScheme struct {
	Ref           Ref
	Names         Names
	Descriptions  Names
	Annotations   []Annotation
	Organisations []Organisation
}

// Organisation is an agency or a data provider.
type Organisation struct {
	ID           string // of a data provider that of [Part.Provider]
	Names        Names
	Descriptions Names
	Annotations  []Annotation
}

// DataStructure says which components a figure has. TIME_PERIOD and OBS_VALUE always belong to it.
type DataStructure struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Dimensions   []Component // in key order, FREQ first, TIME_PERIOD left out
	Attributes   []Component
}

// Component is a dimension or an attribute. What it does not say itself, its concept says.
type Component struct {
	ID       string
	Codelist Ref // the zero Ref where any text may stand
	Names    Names
	Concept  ItemRef // the zero ItemRef: none
}

// Dataflow is a collection of figures under a data structure.
type Dataflow struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Structure    Ref
}

// ProvisionAgreement says that a provider reports to a dataflow.
type ProvisionAgreement struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Dataflow     Ref
	Provider     ItemRef // a data provider
}

// RepresentationMap maps tuples of codes or labels to tuples of codes. Of two mappings that fit, the first counts.
type RepresentationMap struct {
	Ref             Ref
	Names           Names
	Descriptions    Names
	Annotations     []Annotation
	Mappings        []Mapping
	Otherwise       []string // what an unknown tuple becomes; nil: it is not mapped
	Identity        bool     // a value that is already a code of the target stays as it is
	SourceCodelists []Ref    // one for each source, the zero Ref for any text; nil: any text in all of them
	TargetCodelists []Ref    // likewise
}

// Mapping maps one tuple to another, for the periods that lie wholly between the start of ValidFrom and the end of
// ValidTo, which may be of any frequency.
type Mapping struct {
	Sources   []string // "*" fits any value
	Targets   []string // none: what it fits is left out, and a note says so
	ValidFrom string   // "" is from the start
	ValidTo   string   // "" is to the end
}

// StructureMap derives one dataflow from another. Source figures that fall on one target key are summed.
type StructureMap struct {
	Ref          Ref
	Names        Names
	Descriptions Names
	Annotations  []Annotation
	Source       Ref
	Target       Ref
	Components   []ComponentMap
}

// ComponentMap fills target components from source components or with a constant.
type ComponentMap struct {
	Sources           []string // none for a constant
	Targets           []string
	RepresentationMap Ref // the zero Ref: the one source value is copied
	Constant          string
}

// Severity says what follows from a finding.
type Severity uint8

// The severities.
const (
	Blocking Severity = iota + 1
	Warning
	Note
)

// Finding is a line of the quality report of a submission.
type Finding struct {
	Rule     string
	Severity Severity
	Line     int    // of the file, from 1; 0: about no one line
	Column   string // header or component; "": about no one column
	Message  string
	Values   []string

	Check      Check    // of the quality rule that made it; "": it keeps the store whole, and cannot be overridden
	Period     string   // the first one that it is about; "": about no one period
	Before     *float64 // what the figures were, or what they are compared with; nil where nothing is compared
	After      *float64
	Threshold  *float64 // of the rule
	Comment    string   // of the provider
	Overridden bool     // an officer let the submission pass in spite of it
}

// Dimension returns the position of a dimension in key order, or -1.
func (s *DataStructure) Dimension(id string) int {
	return slices.IndexFunc(s.Dimensions, func(c Component) bool { return c.ID == id })
}

// DimensionIDs returns the ids of the dimensions in key order, TIME_PERIOD left out.
func (s *DataStructure) DimensionIDs() []string {
	ids := make([]string, len(s.Dimensions))
	for i, c := range s.Dimensions {
		ids[i] = c.ID
	}
	return ids
}

// furtherAt returns where an attribute stands among the further ones of a figure. COMMENT, which every sum may have, stands
// after them where the structure does not have it.
func (s *DataStructure) furtherAt(id string) int {
	further := s.FurtherAttributes()
	if at := slices.Index(further, id); at >= 0 {
		return at
	}
	return len(further)
}

// FurtherAttributes returns the ids of the attributes other than OBS_STATUS and CONF_STATUS, in their order.
func (s *DataStructure) FurtherAttributes() []string {
	var ids []string
	for _, c := range s.Attributes {
		if c.ID != block.ObsStatus && c.ID != block.ConfStatus {
			ids = append(ids, c.ID)
		}
	}
	return ids
}
