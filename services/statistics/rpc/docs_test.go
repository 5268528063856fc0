package rpc_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/region"
)

// TestLayoutsDocument holds the page about layouts against what it describes.
func TestLayoutsDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "layouts.md"))
	if err != nil {
		t.Skipf("the documents are not here: %v", err)
	}
	page := string(text)

	t.Run("it explains every field", func(t *testing.T) {
		for _, m := range []proto.Message{
			&statisticspb.Layout{}, &statisticspb.LayoutColumn{}, &statisticspb.LayoutPeriod{}, &statisticspb.LayoutPeriod_FiscalYear{},
			&statisticspb.LayoutNumbers{}, &statisticspb.LayoutFilter{},
		} {
			fields := m.ProtoReflect().Descriptor().Fields()
			for i := range fields.Len() {
				if name := fields.Get(i).JSONName(); !strings.Contains(page, "`"+name+"`") {
					t.Errorf("it does not mention %s of %s", name, m.ProtoReflect().Descriptor().Name())
				}
			}
		}
		rules := statisticspb.Layout_UNSPECIFIED.Descriptor().Values()
		for i := 1; i < rules.Len(); i++ {
			if name := rules.Get(i).Name(); !strings.Contains(page, "`"+string(name)+"`") {
				t.Errorf("it does not mention the rule %s", name)
			}
		}
	})

	blocks := regexp.MustCompile("(?s)```(csv|yaml)\n(.*?)```").FindAllStringSubmatch(page, -1)
	read := func(t *testing.T, block string, m proto.Message) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "block.yaml")
		if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := region.ReadMessage(path, m); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	var layouts []*statisticspb.Layout
	for _, block := range blocks {
		switch {
		case block[1] == "csv":
			files = append(files, block[2])
		case strings.HasPrefix(block[2], "id:"):
			layout := &statisticspb.Layout{}
			read(t, block[2], layout)
			layouts = append(layouts, layout)
		case strings.HasPrefix(block[2], "representationMaps:"):
			read(t, block[2], &statisticspb.Structures{})
		}
	}
	if len(files) != 2 || len(layouts) != 2 {
		t.Fatalf("it has %d files and %d layouts, want 2 and 2", len(files), len(layouts))
	}

	t.Run("its layouts read its files", func(t *testing.T) {
		for i, layout := range layouts {
			n := newNode(t, "x")
			n.create(t, structureOf(layout))
			n.layout(t, layout)
			s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: layout.GetDataflow(), Layout: layout.GetId()}, strings.NewReader(files[i]))
			if err != nil {
				t.Fatal(err)
			}
			if want := []int32{6, 2}[i]; s.GetState() != statisticspb.Submission_ACCEPTED || s.GetObservations() != want {
				t.Errorf("%s: %v with %d observations, want %d; %v", layout.GetId(), s.GetState(), s.GetObservations(), want, s.GetFindings())
			}
		}
	})
}

// structureOf returns a dataflow with the dimensions that the layout fills, of any text.
func structureOf(layout *statisticspb.Layout) *statisticspb.Structures {
	agency, rest, _ := strings.Cut(layout.GetDataflow(), ":")
	id, _, _ := strings.Cut(rest, "(")
	d := &statisticspb.DataStructure{Agency: agency, Id: id, Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}}}
	seen := map[string]bool{"FREQ": true, "OBS_VALUE": true, "": true}
	add := func(component string) {
		if !seen[component] {
			seen[component] = true
			d.Dimensions = append(d.Dimensions, &statisticspb.Component{Id: component})
		}
	}
	for _, column := range layout.GetColumns() {
		add(column.GetComponent())
		for component := range column.GetConstants() {
			add(component)
		}
	}
	return &statisticspb.Structures{
		DataStructures: []*statisticspb.DataStructure{d},
		Dataflows:      []*statisticspb.Dataflow{{Agency: agency, Id: id, Version: "1.0.0", Structure: layout.GetDataflow()}},
	}
}
