package main

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestObservationsWithoutAValueComeThroughInEveryFormat(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	for name, upload := range map[string]struct{ content, body string }{
		"SDMX-CSV 2, an empty field and NaN": {
			"application/vnd.sdmx.data+csv;version=2.0.0",
			"STRUCTURE,STRUCTURE_ID,ACTION,FREQ,TIME_PERIOD,OBS_VALUE,OBS_STATUS\ndataflow,A:B(1.0.0),M,A,2022,,M\ndataflow,A:B(1.0.0),M,A,2023,NaN,L\n",
		},
		"SDMX-CSV 1": {
			"application/vnd.sdmx.data+csv;version=1.0.0",
			"DATAFLOW,FREQ,TIME_PERIOD,OBS_VALUE,OBS_STATUS\nA:B(1.0.0),A,2022,,M\nA:B(1.0.0),A,2023,NaN,L\n",
		},
		"SDMX-JSON, null and NaN": {
			"application/vnd.sdmx.data+json;version=2.0.0",
			`{"data": {"structures": [{"links": [{"urn": "urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=A:B(1.0.0)", "rel": "dataflow"}],
			"dimensions": {"series": [{"id": "FREQ", "keyPosition": 0, "values": [{"id": "A"}]}],
				"observation": [{"id": "TIME_PERIOD", "keyPosition": 1, "values": [{"value": "2022"}, {"value": "2023"}]}]},
			"measures": {"observation": [{"id": "OBS_VALUE"}]}, "attributes": {"observation": [{"id": "OBS_STATUS", "values": [{"id": "M"}, {"id": "L"}]}]}}],
			"dataSets": [{"series": {"0": {"observations": {"0": [null, 0], "1": ["NaN", 1]}}}}]}}`,
		},
		"SDMX-ML, no value and NaN": {
			"application/vnd.sdmx.data+xml;version=3.0.0",
			`<mes:StructureSpecificData xmlns:mes="m" xmlns:ss="s" xmlns:com="c"><mes:Header><mes:ID>X</mes:ID><mes:Structure structureID="S1" dimensionAtObservation="TIME_PERIOD">` +
				`<com:StructureUsage>urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=A:B(1.0.0)</com:StructureUsage></mes:Structure></mes:Header>` +
				`<mes:DataSet ss:structureRef="S1"><Series FREQ="A"><Obs TIME_PERIOD="2022" OBS_STATUS="M"/><Obs TIME_PERIOD="2023" OBS_VALUE="NaN" OBS_STATUS="L"/></Series></mes:DataSet></mes:StructureSpecificData>`,
		},
	} {
		answer, body := n.do(t, "POST", "/v1/submissions", upload.body, "Content-Type", upload.content)
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.StatusCode, body)
			continue
		}
		rows := last().rows
		for i, row := range rows {
			value, rest, _ := strings.Cut(row, "@")
			_, rest, _ = strings.Cut(rest, " ")
			rows[i] = value + " " + rest
		}
		if want := []string{"NaN FREQ=A TIME_PERIOD=2022 OBS_STATUS=M", "NaN FREQ=A TIME_PERIOD=2023 OBS_STATUS=L"}; !slices.Equal(rows, want) {
			t.Errorf("%s: %q", name, rows)
		}
	}
}

func TestAnswersWithoutAValueCanBeSubmittedAgain(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	n.statistics.query = answers(part(row{"_T", "SYR", "2023-01", 5, "A", ""}, row{"_T", "SYR", "2023-02", math.NaN(), "M", ""}))
	for accepted, want := range map[string]string{"text/csv": "2023-02,,M,", "application/vnd.sdmx.data+json": "[null,"} {
		answer, body := n.do(t, "GET", border+"M.*.*", "", "Accept", accepted, "Accept-Encoding", "identity")
		if answer.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", accepted, answer.StatusCode, body)
		}
		if answer, body = n.do(t, "POST", "/v1/submissions", body, "Content-Type", answer.Header.Get("Content-Type")); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", accepted, answer.StatusCode, body)
			continue
		}
		rows := last().rows
		if len(rows) != 2 || !strings.HasPrefix(rows[0], "5@") || !strings.HasPrefix(rows[1], "NaN@") || !strings.Contains(rows[1], "OBS_STATUS=M") {
			t.Errorf("%s: %q", accepted, rows)
		}
	}
}
