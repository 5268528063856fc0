// Package region reads the directory that describes a region: its states, what each holds and assumes, and what they
// agreed upon. Another region is another directory, never another program.
//
// The directory holds a region.yaml, which names other files relative to itself; a name may be a pattern such as
// "structures/*.yaml", which must fit something.
//
//	name: Two shores
//	structures: [../comity/*.yaml]          # known at every node: comity.statistics.v1.Structures
//	states:
//	  - code: na                            # 2 to 16 lower-case letters and digits
//	    name: Northshore
//	    refAreas: [NA]                      # the REF_AREA codes that it speaks for
//	    structures: [na/structures.yaml]    # its own
//	    layouts: [na/layout.yaml]           # how its files are read: comity.statistics.v1.Layout
//	    quality: [na/quality.yaml]          # what its figures are judged by: comity.statistics.v1.QualityRules
//	    policies: [na/policy]               # directories of Rego laid over the shared policies: its law
//	    submissions:
//	      - file: na/crossings.csv          # or .csv.gz; or SDMX, then without a layout
//	        dataflow: NA:CROSSINGS(1.0.0)
//	        layout: na-crossings
//	    assumptions:                        # comity.risk.v1.Assumption, with an id
//	      - id: by-boat
//	        title: Five persons a quarter come by boat
//	        assumedRate: 5
//	        strength: 10
//	        tolerance: 0.25
//	        evidence: {dataflow: …, key: …, startPeriod: 2021-Q3, endPeriod: 2022-Q2}
//	    publications:                       # what its policies let everybody see: comity.sharing.v1.CreatePublicationRequest
//	      - indicators: [1A]
//	agreements: [agreements/*.yaml]         # comity.sharing.v1.Terms
//
// The files with messages are their protobuf JSON, written as YAML. A scalar is taken as it is written, so codes such
// as 1, 1.0 and NO need no quotes; only true, false and null mean something else.
package region

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// FileName is the name of the file that describes a region.
const FileName = "region.yaml"

// MaxStates is how many states one machine can play: their ports are ten apart.
const MaxStates = 50

// Region is a set of states that exchange statistics.
type Region struct {
	Directory  string // absolute
	Name       string
	Structures []*statisticspb.Structures // known at every node
	States     []State
	Agreements []*sharingpb.Terms
}

// State is one state of a region.
type State struct {
	Code        string
	Name        string
	RefAreas    []string // the REF_AREA codes that it speaks for
	Structures  []*statisticspb.Structures
	Layouts     []*statisticspb.Layout
	Quality     []*statisticspb.QualityRules
	Policies    []string // absolute directories
	Submissions []Submission
	Assumptions []*riskpb.Assumption // their names are "assumptions/{id}"

	Publications []*sharingpb.CreatePublicationRequest
}

// Submission is a file that an agency of the state uploads.
type Submission struct {
	File     string // absolute; gzip where it ends in ".gz"
	Dataflow string // "AGENCY:ID(VERSION)"
	Layout   string // the id of the layout of a national file; empty for SDMX
}

// State returns the state with the code, or nil.
func (r *Region) State(code string) *State {
	i := slices.IndexFunc(r.States, func(s State) bool { return s.Code == code })
	if i < 0 {
		return nil
	}
	return &r.States[i]
}

// document is region.yaml as it is written.
type document struct {
	Name       string          `yaml:"name"`
	Structures []string        `yaml:"structures"`
	States     []stateDocument `yaml:"states"`
	Agreements []string        `yaml:"agreements"`
}

type stateDocument struct {
	Code        string               `yaml:"code"`
	Name        string               `yaml:"name"`
	RefAreas    []string             `yaml:"refAreas"`
	Structures  []string             `yaml:"structures"`
	Layouts     []string             `yaml:"layouts"`
	Quality     []string             `yaml:"quality"`
	Policies    []string             `yaml:"policies"`
	Submissions []submissionDocument `yaml:"submissions"`
	Assumptions []yaml.Node          `yaml:"assumptions"`

	Publications []yaml.Node `yaml:"publications"`
}

type submissionDocument struct {
	File     string `yaml:"file"`
	Dataflow string `yaml:"dataflow"`
	Layout   string `yaml:"layout"`
}

// Load reads the region in a directory. An error names the file and what is wrong in it.
func Load(directory string) (*Region, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(directory, FileName)
	file, err := os.Open(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("the directory %s describes no region: %w", directory, err)
	}
	defer func() { _ = file.Close() }()
	var doc document
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}

	r := &Region{Directory: directory, Name: doc.Name}
	if err := r.read(doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *Region) read(doc document) (err error) {
	if len(doc.States) == 0 || len(doc.States) > MaxStates {
		return fmt.Errorf("it names %d states; there must be from 1 to %d", len(doc.States), MaxStates)
	}
	if r.Structures, err = readAll[statisticspb.Structures](r.Directory, doc.Structures); err != nil {
		return err
	}
	for i, s := range doc.States {
		state, err := r.readState(s)
		if err != nil {
			return fmt.Errorf("state %d, %q: %w", i+1, s.Code, err)
		}
		r.States = append(r.States, state)
	}
	if r.Agreements, err = readAll[sharingpb.Terms](r.Directory, doc.Agreements); err != nil {
		return err
	}
	return r.check()
}

var codePattern = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)

func (r *Region) readState(doc stateDocument) (State, error) {
	s := State{Code: doc.Code, Name: doc.Name, RefAreas: doc.RefAreas}
	if !codePattern.MatchString(s.Code) {
		return s, errors.New("the code must be 2 to 16 lower-case letters and digits, and begin with a letter")
	}
	if r.State(s.Code) != nil {
		return s, errors.New("another state has this code")
	}
	if s.Name == "" || len(s.RefAreas) == 0 {
		return s, errors.New("it needs a name and refAreas")
	}
	var err error
	if s.Structures, err = readAll[statisticspb.Structures](r.Directory, doc.Structures); err != nil {
		return s, err
	}
	if s.Layouts, err = readAll[statisticspb.Layout](r.Directory, doc.Layouts); err != nil {
		return s, err
	}
	if s.Quality, err = readAll[statisticspb.QualityRules](r.Directory, doc.Quality); err != nil {
		return s, err
	}
	if s.Policies, err = expand(r.Directory, doc.Policies); err != nil {
		return s, err
	}
	for _, dir := range s.Policies {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return s, fmt.Errorf("the policies %s are no directory", dir)
		}
	}
	for _, sub := range doc.Submissions {
		files, err := expand(r.Directory, []string{sub.File})
		if err != nil {
			return s, fmt.Errorf("submission: %w", err)
		}
		if sub.Dataflow == "" {
			return s, fmt.Errorf("the submission of %s names no dataflow", sub.File)
		}
		for _, file := range files {
			s.Submissions = append(s.Submissions, Submission{File: file, Dataflow: sub.Dataflow, Layout: sub.Layout})
		}
	}
	for i := range doc.Assumptions {
		a, err := readAssumption(&doc.Assumptions[i])
		if err != nil {
			return s, fmt.Errorf("assumption %d: %w", i+1, err)
		}
		s.Assumptions = append(s.Assumptions, a)
	}
	for i := range doc.Publications {
		p := new(sharingpb.CreatePublicationRequest)
		if err := decode(&doc.Publications[i], p); err != nil {
			return s, fmt.Errorf("publication %d: %w", i+1, err)
		}
		s.Publications = append(s.Publications, p)
	}
	return s, nil
}

// readAssumption reads an assumption whose node also holds an id.
func readAssumption(node *yaml.Node) (*riskpb.Assumption, error) {
	var id struct {
		ID string `yaml:"id"`
	}
	if err := node.Decode(&id); err != nil {
		return nil, err
	}
	if id.ID == "" {
		return nil, errors.New("it needs an id")
	}
	rest := *node
	rest.Content = nil
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "id" {
			rest.Content = append(rest.Content, node.Content[i], node.Content[i+1])
		}
	}
	a := new(riskpb.Assumption)
	if err := decode(&rest, a); err != nil {
		return nil, fmt.Errorf("%s: %w", id.ID, err)
	}
	a.Name = "assumptions/" + id.ID
	return a, nil
}

// check finds what no single file shows.
func (r *Region) check() error {
	areas := map[string]string{}
	for _, s := range r.States {
		for _, area := range s.RefAreas {
			if other, taken := areas[area]; taken {
				return fmt.Errorf("both %s and %s speak for %s", other, s.Code, area)
			}
			areas[area] = s.Code
		}
		layouts := map[string]bool{}
		for _, l := range s.Layouts {
			layouts[l.GetId()] = true
		}
		judged := map[string]bool{}
		for _, rules := range s.Quality {
			if judged[rules.GetDataflow()] {
				return fmt.Errorf("state %q: two files have quality rules of %q", s.Code, rules.GetDataflow())
			}
			judged[rules.GetDataflow()] = true
		}
		for _, sub := range s.Submissions {
			if sub.Layout != "" && !layouts[sub.Layout] {
				return fmt.Errorf("state %q: %s is submitted with the layout %q, which the state does not have",
					s.Code, sub.File, sub.Layout)
			}
		}
	}
	ids := map[string]bool{}
	for _, a := range r.Agreements {
		if ids[a.GetId()] {
			return fmt.Errorf("two agreements have the id %q", a.GetId())
		}
		ids[a.GetId()] = true
		for _, code := range []string{a.GetProvider(), a.GetReceiver()} {
			if r.State(code) == nil {
				return fmt.Errorf("the agreement %q names the state %q, which is not in the region", a.GetId(), code)
			}
		}
		if a.GetProvider() == a.GetReceiver() {
			return fmt.Errorf("the agreement %q is of %s with itself", a.GetId(), a.GetProvider())
		}
	}
	return nil
}

// expand resolves names and patterns relative to dir, in the order given, the files of a pattern by name.
func expand(dir string, names []string) ([]string, error) {
	var paths []string
	for _, name := range names {
		if name == "" {
			return nil, errors.New("a file has no name")
		}
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, name)
		}
		if !strings.ContainsAny(name, "*?[") {
			if _, err := os.Stat(path); err != nil {
				return nil, err
			}
			paths = append(paths, path)
			continue
		}
		found, err := filepath.Glob(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no file fits %s", name)
		}
		paths = append(paths, found...)
	}
	return paths, nil
}
