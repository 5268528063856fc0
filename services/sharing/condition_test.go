package sharing

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/filter"
)

func TestCondition(t *testing.T) {
	t.Run("reads what it wrote", func(t *testing.T) {
		want := Condition{filter.And(filter.In("A", "1", "2"), filter.Not(filter.Compare(filter.OpEndsWith, "B", "x")), filter.False())}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Condition
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("is written in words", func(t *testing.T) {
		data, err := json.Marshal(Condition{filter.Eq("A", "1")})
		if want := `{"op":"eq","component":"A","values":["1"]}`; err != nil || string(data) != want {
			t.Errorf("%s, %v", data, err)
		}
	})
	t.Run("knows no other operator", func(t *testing.T) {
		var got Condition
		if err := json.Unmarshal([]byte(`{"op":"like"}`), &got); err == nil {
			t.Error("it was read")
		}
	})
}
