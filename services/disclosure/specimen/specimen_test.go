package specimen_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/disclosure/specimen"
)

func TestTables(t *testing.T) {
	directory := os.Getenv("COMITY_SHARED")
	if directory == "" {
		directory = filepath.Join("..", "..", "..", "..", "shared")
	}
	cells := map[string]int{
		"referrals, chain of margins": 2173, "detections, one-out margins": 6370, "detections, all margins": 8025,
		"encounters, all margins": 11830, "referrals, all margins": 6036,
	}
	for _, s := range specimen.Tables() {
		t.Run("are made up: "+s.Name, func(t *testing.T) {
			table := s.MakeUp()
			if err := table.Check(); err != nil {
				t.Error(err)
			}
			if n := len(table.Cells); n < cells[s.Name]*7/10 || n > cells[s.Name]*13/10 {
				t.Errorf("%d cells for %d", n, cells[s.Name])
			}
		})
		t.Run("are read where they are: "+s.Name, func(t *testing.T) {
			table, err := s.Read(os.DirFS(filepath.Join(directory, "data")))
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip("the published tables are not here")
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := table.Check(); err != nil {
				t.Error(err)
			}
			if len(table.Cells) != cells[s.Name] {
				t.Errorf("%d cells, want %d", len(table.Cells), cells[s.Name])
			}
		})
	}
	t.Run("are made up the same every time", func(t *testing.T) {
		shape := specimen.Shape{Sizes: []int{3, 4, 5}, Leaves: 40, Median: 5, Spread: 2}
		if diff := cmp.Diff(shape.MakeUp(specimen.All, 7), shape.MakeUp(specimen.All, 7)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("are made up where there are no files", func(t *testing.T) {
		if _, err := specimen.Tables()[0].Read(nil); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		months, _, published, err := specimen.Months(nil)
		if len(months) != 121 || published || err != nil {
			t.Error(len(months), published, err)
		}
	})
}
