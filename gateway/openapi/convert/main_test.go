package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestConvertMakesTheCommittedDocument(t *testing.T) {
	made, err := Convert(read(t, "../comity.swagger.json"), read(t, "../handwritten.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, read(t, "../openapi.json")) {
		t.Error("openapi.json is not what its sources make: run go generate ./openapi in the gateway")
	}
}

func TestDocumentIsValidAndWhole(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromData(read(t, "../openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		t.Error(err)
	}
	for path, method := range map[string]string{
		"/v1/submissions": "POST", "/v1/submissions/{id}": "GET", "/v1/agreements/{id}:sign": "POST", "/v1/policy:explain": "POST",
		"/v1/risk/assumption:judge": "POST", "/sdmx/v2/data/{context}/{agency}/{id}/{version}/{key}": "GET",
	} {
		item := document.Paths.Value(path)
		if item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s %s is missing", method, path)
		}
	}
	tags := map[string]bool{}
	for _, tag := range document.Tags {
		tags[tag.Name] = true
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			if len(operation.Tags) != 1 || !tags[operation.Tags[0]] || operation.Summary == "" {
				t.Errorf("%s %s has the tags %v and the summary %q", method, path, operation.Tags, operation.Summary)
			}
		}
	}
}
