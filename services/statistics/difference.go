package statistics

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxDifferences = 10

// sameArtefact reports whether two artefacts, or parts of them, say the same.
func sameArtefact(a, b any) bool { return reflect.DeepEqual(a, b) }

// differences says where two artefacts of a kind differ, such as `codes[F].names[fr] is "Femme", was "Féminin"`. Items are
// compared by their ids. Of many differences only the first are told.
func differences(before, after Artefact) []string {
	d := difference{}
	d.compare("", reflect.ValueOf(before), reflect.ValueOf(after))
	if d.count > maxDifferences {
		d.told = append(d.told, fmt.Sprintf("and %d more", d.count-maxDifferences))
	}
	return d.told
}

type difference struct {
	told  []string
	count int
}

func (d *difference) add(path, format string, args ...any) {
	if d.count++; d.count <= maxDifferences {
		d.told = append(d.told, strings.TrimPrefix(path, ".")+" "+fmt.Sprintf(format, args...))
	}
}

func (d *difference) compare(path string, before, after reflect.Value) {
	if reflect.DeepEqual(before.Interface(), after.Interface()) {
		return
	}
	if _, isText := before.Interface().(fmt.Stringer); isText { // a reference
		d.add(path, "is %s, was %s", after.Interface(), before.Interface())
		return
	}
	switch before.Kind() {
	case reflect.Pointer:
		d.compare(path, before.Elem(), after.Elem())
	case reflect.Struct:
		for i := range before.NumField() {
			field := before.Type().Field(i)
			if field.Anonymous {
				d.compare(path, before.Field(i), after.Field(i))
				continue
			}
			d.compare(path+"."+lowerFirst(field.Name), before.Field(i), after.Field(i))
		}
	case reflect.Map:
		d.compareMaps(path, before, after)
	case reflect.Slice:
		d.compareLists(path, before, after)
	case reflect.String:
		d.add(path, "is %q, was %q", shown(after.String()), shown(before.String()))
	default:
		d.add(path, "is %v, was %v", after.Interface(), before.Interface())
	}
}

func (d *difference) compareMaps(path string, before, after reflect.Value) {
	keys := map[string]bool{}
	for _, of := range []reflect.Value{before, after} {
		for _, key := range of.MapKeys() {
			keys[key.String()] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		at := fmt.Sprintf("%s[%s]", path, shown(key))
		was, is := before.MapIndex(reflect.ValueOf(key)), after.MapIndex(reflect.ValueOf(key))
		switch {
		case !was.IsValid():
			d.add(at, "is new")
		case !is.IsValid():
			d.add(at, "is missing")
		default:
			d.compare(at, was, is)
		}
	}
}

// compareLists compares items that have ids by them, others by their position.
func (d *difference) compareLists(path string, before, after reflect.Value) {
	known := make(map[string]int, before.Len())
	for i := range before.Len() {
		known[itemID(before.Index(i), i)] = i
	}
	was := -1
	moved := false
	for i := range after.Len() {
		id := itemID(after.Index(i), i)
		at := fmt.Sprintf("%s[%s]", path, shown(id))
		j, ok := known[id]
		if !ok {
			d.add(at, "is new")
			continue
		}
		delete(known, id)
		moved = moved || j < was
		was = j
		d.compare(at, before.Index(j), after.Index(i))
	}
	if len(known) > maxDifferences {
		d.add(path, "lacks %d items that it had", len(known))
		return
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		d.add(fmt.Sprintf("%s[%s]", path, shown(id)), "is missing")
	}
	if moved {
		d.add(path, "is in another order")
	}
}

func itemID(item reflect.Value, position int) string {
	if item.Kind() == reflect.Struct {
		if id := item.FieldByName("ID"); id.IsValid() && id.Kind() == reflect.String && id.String() != "" {
			return id.String()
		}
	}
	return fmt.Sprint(position)
}

func lowerFirst(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToLower(first)) + text[size:]
}
