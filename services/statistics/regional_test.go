package statistics_test

import (
	"path/filepath"
	"strings"
	"testing"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/region"
)

// What all states share has names in the six languages of the United Nations and in Portuguese.
func TestSharedNames(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../deploy/comity/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	named := 0
	check := func(what string, names map[string]string) {
		named++
		for _, language := range []string{"ar", "en", "es", "fr", "pt", "ru", "zh"} {
			if name := names[language]; name == "" || name != strings.TrimSpace(name) {
				t.Errorf("%s is called %q in %s", what, name, language)
			}
		}
	}
	for _, path := range paths {
		s := &statisticspb.Structures{}
		if err := region.ReadMessage(path, s); err != nil {
			t.Fatal(err)
		}
		for _, list := range s.GetCodelists() {
			check(list.GetId(), list.GetNames())
			for _, code := range list.GetCodes() {
				check(list.GetId()+" "+code.GetId(), code.GetNames())
			}
		}
		for _, scheme := range s.GetConceptSchemes() {
			check(scheme.GetId(), scheme.GetNames())
			for _, concept := range scheme.GetConcepts() {
				check(scheme.GetId()+" "+concept.GetId(), concept.GetNames())
			}
		}
		for _, constraint := range s.GetContentConstraints() {
			check(constraint.GetId(), constraint.GetNames())
		}
		for _, structure := range s.GetDataStructures() {
			check(structure.GetId(), structure.GetNames())
		}
		for _, flow := range s.GetDataflows() {
			check(flow.GetId(), flow.GetNames())
		}
	}
	if named < 600 {
		t.Errorf("only %d things have names", named)
	}
}
