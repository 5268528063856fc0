package ndjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/gateway/ndjson"
	"github.com/comity-federation/comity/proto/block"
)

// read returns the rows of all blocks, each as "line: column=value …" in the order of columns.
func read(t *testing.T, in io.Reader) (rows []string, err error) {
	t.Helper()
	reader := ndjson.NewReader(in)
	for {
		b, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if err := b.Check(); err != nil {
			t.Fatalf("the block is none: %v", err)
		}
		for row := range b.Rows {
			text := fmt.Sprintf("%v:", b.Column(block.Line).Numbers[row])
			for i := range b.Columns {
				switch c := &b.Columns[i]; {
				case c.Component == block.Line:
				case !c.IsNumber():
					text += " " + c.Component + "=" + c.Text(row)
				case !math.IsNaN(c.Numbers[row]):
					text += fmt.Sprintf(" %s=%v", c.Component, c.Numbers[row])
				}
			}
			rows = append(rows, text)
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	got, err := read(t, strings.NewReader("\ufeff"+`{"SEX":"F","_RECORD_KEY":4294967295}
 { "TIME_PERIOD" : 2023 , "SEX" : "M\u00e9\"" }`+"\r\n\n  \n"+`{"_SIGN":-1.0,"SEX":""}
{}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1: SEX=F _RECORD_KEY=4.294967295e+09 TIME_PERIOD=", "2: SEX=Mé\" TIME_PERIOD=2023", "5: SEX= TIME_PERIOD= _SIGN=-1", "6: SEX= TIME_PERIOD=",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReaderRefusesWhatIsNoFlatObject(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`[1]`, `1`, `"a"`, `null`, `{`, `{"A"}`, `{"A":}`, `{"A":1`, `{"A":1,}`, `{"A":1 "B":2}`, `{,}`, `{A:1}`, `{'A':1}`, `{"A":1}{"A":2}`, `{"A":1} x`,
		`{"A":null}`, `{"A":true}`, `{"A":[1]}`, `{"A":{"B":1}}`, strings.Repeat(`{"A":`, 1000) + "1" + strings.Repeat("}", 1000),
		`{"A":"x","A":"y"}`, `{"A":1,"\u0041":2}`, `{"_SIGN":1,"_SIGN":1}`, `{"":1}`, `{"_LINE":1}`,
		`{"A":1.5}`, `{"A":-1}`, `{"A":1e3}`, `{"A":01}`, `{"_SIGN":"1"}`, `{"_SIGN":01}`, `{"_SIGN":1e999}`, `{"_SIGN":--1}`, `{"_SIGN":NaN}`,
		"{\"A\":\"\xff\"}", "{\"\xff\":1}", "{\"A\":\"a\tb\"}", `{"A":"\x41"}`, `{"A":"\ud8"}`, `{"A":"x}`, `{"A":"x\`, "{\"A\":\"a\x00\"}",
		`{"A":"` + strings.Repeat("x", ndjson.MaxLine) + `"}`,
	} {
		_, err := read(t, strings.NewReader("{\"A\":\"good\"}\n"+line+"\n"))
		var wrong *ndjson.Error
		if !errors.As(err, &wrong) || wrong.Line != 2 {
			t.Errorf("%.40q gives %v", line, err)
		}
	}
	many := "{"
	for i := range ndjson.MaxMembers {
		many += fmt.Sprintf(`"C%d":1,`, i)
	}
	if _, err := read(t, strings.NewReader(many+`"D":1}`)); err == nil {
		t.Error("it takes more members than are allowed")
	}
}

func TestReaderKeepsToItsMemoryInALineWithoutEnd(t *testing.T) {
	t.Parallel()
	endless := &letters{}
	if _, err := read(t, io.MultiReader(strings.NewReader(`{"A":"`), endless)); err == nil {
		t.Fatal("a line without an end has one")
	}
	if endless.read > 4*ndjson.MaxLine {
		t.Errorf("it reads %d bytes of a line before it gives up", endless.read)
	}
}

type letters struct{ read int }

func (l *letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	l.read += len(p)
	return len(p), nil
}

func TestReaderMakesBlocksOfBoundedSize(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	for i := range 40_000 {
		fmt.Fprintf(&in, "{\"A\":\"%d %s\"}\n", i, strings.Repeat("x", 500))
	}
	reader, rows := ndjson.NewReader(&in), 0
	for {
		b, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, text := range b.Columns[0].Dictionary {
			size += len(text)
		}
		if rows += b.Rows; size > 2<<20 {
			t.Fatalf("a block has %d bytes of text", size)
		}
	}
	if rows != 40_000 {
		t.Errorf("%d rows are read", rows)
	}
}

// FuzzReader holds that what is read is what encoding/json reads, and that nothing of a bad line is in its error.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		`{"SEX":"F","TIME_PERIOD":"2023-01","_RECORD_KEY":12,"_SIGN":-1}`, "{}\n{\"A\":1}\n", `{"A":"\u00e9\n"}`, `{"A":{"B":[1,2]}}`, `{"A":1,"A":2}`,
		"\ufeff{\"A\":\"\"}", strings.Repeat("[", 100), `{"name":"secretsecret","x":}`, "{\"A\":\"\xff\"}", `{"_SIGN":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		reader := ndjson.NewReader(bytes.NewReader(in))
		lines := bytes.Split(in, []byte("\n"))
		for {
			b, err := reader.Next()
			if err != nil {
				if strings.Contains(err.Error(), "secretsecret") {
					t.Fatalf("the error shows what stands in the line: %v", err)
				}
				return
			}
			if err := b.Check(); err != nil {
				t.Fatalf("the block is none: %v", err)
			}
			for row := range b.Rows {
				line := lines[int(b.Column(block.Line).Numbers[row])-1]
				var object map[string]any
				decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(line, []byte("\ufeff"))))
				decoder.UseNumber()
				if err := decoder.Decode(&object); err != nil {
					t.Fatalf("%q is read, but is no JSON: %v", line, err)
				}
				for name, value := range object {
					c := b.Column(name)
					if c == nil {
						t.Fatalf("%q: the member %q is lost", line, name)
					}
					if !c.IsNumber() && c.Text(row) != fmt.Sprint(value) {
						t.Fatalf("%q: %q is read as %q", line, name, c.Text(row))
					}
				}
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var in bytes.Buffer
	const rows = 100_000
	for i := range rows {
		fmt.Fprintf(&in, `{"FREQ":"M","REF_AREA":"US","INDICATOR":"1A","SECTION":"S%d","BORDER_TYPE":"LAND","CITIZENSHIP":"C%d","SEX":"F","AGE":"_T","DETAIL":"_T","TIME_PERIOD":"2023-%02d-%02d"}`+"\n", i%20, i%190, i%12+1, i%28+1)
	}
	b.SetBytes(int64(in.Len()))
	for b.Loop() {
		reader := ndjson.NewReader(bytes.NewReader(in.Bytes()))
		for {
			if _, err := reader.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "events/s")
}
