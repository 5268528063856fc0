// Command convert makes the OpenAPI 3 document of the HTTP API of the Swagger 2 document that protoc-gen-openapiv2
// writes, and of paths described by hand:
//
//	convert comity.swagger.json handwritten.yaml openapi.json
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: convert SWAGGER HANDWRITTEN OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

func run(swagger, handwritten, output string) error {
	generated, err := os.ReadFile(swagger) //nolint:gosec // the files are named on the command line
	if err != nil {
		return err
	}
	ours, err := os.ReadFile(handwritten) //nolint:gosec // as above
	if err != nil {
		return err
	}
	document, err := Convert(generated, ours)
	if err != nil {
		return err
	}
	return os.WriteFile(output, document, 0o644) //nolint:gosec // a document that everybody may read
}

// Convert returns the OpenAPI 3 document as indented JSON, the same for the same input.
func Convert(swagger, handwritten []byte) ([]byte, error) {
	swagger, err := rename(swagger)
	if err != nil {
		return nil, err
	}
	var v2 openapi2.T
	if err := json.Unmarshal(swagger, &v2); err != nil {
		return nil, fmt.Errorf("reading the Swagger document: %w", err)
	}
	document, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return nil, fmt.Errorf("converting: %w", err)
	}
	loader := openapi3.NewLoader()
	ours, err := loader.LoadFromData(handwritten)
	if err != nil {
		return nil, fmt.Errorf("reading the paths described by hand: %w", err)
	}
	if err := merge(document, ours); err != nil {
		return nil, err
	}
	errorsEverywhere(document)
	dropUnused(document)
	compact, err := document.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("writing: %w", err)
	}
	reread, err := openapi3.NewLoader().LoadFromData(compact)
	if err != nil {
		return nil, fmt.Errorf("reading what was made: %w", err)
	}
	if err := reread.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validating: %w", err)
	}
	return indent(compact)
}

// indent returns the document with its members in the order of their names.
func indent(compact []byte) ([]byte, error) {
	var value any
	if err := json.Unmarshal(compact, &value); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// resourcePattern is how protoc-gen-openapiv2 writes the path parameter of "/v1/{name=agreements/*}".
var resourcePattern = regexp.MustCompile(`^([a-z]+)/\[\^/\]\+$`)

// packagePrefix and bodyName are what protoc-gen-openapiv2 puts around the names of messages.
var (
	packagePrefix = regexp.MustCompile(`^(?:v1|rpc|protobuf|[a-z]+V1)`)
	bodyName      = regexp.MustCompile(`^[A-Z][a-z]+Service([A-Za-z]+)Body$`)
)

// rename gives schemas, tags and paths the names that readers of the API know: "Submission" for "v1Submission",
// "Statistics" for "StatisticsService", "/v1/submissions/{id}" for "/v1/{name_2}".
func rename(swagger []byte) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(swagger, &document); err != nil {
		return nil, fmt.Errorf("reading the Swagger document: %w", err)
	}
	definitions, _ := document["definitions"].(map[string]any)
	names := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		short := bodyName.ReplaceAllString(packagePrefix.ReplaceAllString(name, ""), "${1}Request")
		if _, taken := definitions[short]; taken && short != name {
			return nil, fmt.Errorf("%s cannot be called %s: that is taken", name, short)
		}
		names["#/definitions/"+name] = "#/definitions/" + short
		definitions[short] = definitions[name]
		if short != name {
			delete(definitions, name)
		}
	}
	paths, _ := document["paths"].(map[string]any)
	renamed := map[string]any{}
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, operation := range operations {
			o, _ := operation.(map[string]any)
			target := resourcePath(path, o)
			shortenTags(o)
			if renamed[target] == nil {
				renamed[target] = map[string]any{}
			}
			renamed[target].(map[string]any)[method] = o
		}
	}
	document["paths"] = renamed
	delete(document, "tags")
	return json.Marshal(renameReferences(document, names))
}

// resourcePath returns the path with its resource name spelt out, and turns the parameter into the id.
func resourcePath(path string, operation map[string]any) string {
	parameters, _ := operation["parameters"].([]any)
	for _, parameter := range parameters {
		p, _ := parameter.(map[string]any)
		pattern, _ := p["pattern"].(string)
		match := resourcePattern.FindStringSubmatch(pattern)
		if match == nil {
			continue
		}
		name, _ := p["name"].(string)
		path = strings.Replace(path, "{"+name+"}", match[1]+"/{id}", 1)
		p["name"], p["description"] = "id", "The last part of the resource name \""+match[1]+"/{id}\"."
		delete(p, "pattern")
	}
	return path
}

func shortenTags(operation map[string]any) {
	tags, _ := operation["tags"].([]any)
	for i := range tags {
		if tag, ok := tags[i].(string); ok {
			tags[i] = strings.TrimSuffix(tag, "Service")
		}
	}
}

func renameReferences(value any, names map[string]string) any {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			if text, ok := member.(string); ok && key == "$ref" {
				v[key] = names[text]
				continue
			}
			v[key] = renameReferences(member, names)
		}
	case []any:
		for i := range v {
			v[i] = renameReferences(v[i], names)
		}
	}
	return value
}

// merge adds what is described by hand. Nothing may be described twice.
func merge(document, ours *openapi3.T) error {
	document.Info, document.Servers, document.Security, document.Tags = ours.Info, ours.Servers, ours.Security, ours.Tags
	for path, item := range ours.Paths.Map() {
		have := document.Paths.Value(path)
		if have == nil {
			document.Paths.Set(path, item)
			continue
		}
		for method, operation := range item.Operations() {
			if have.GetOperation(method) != nil {
				return fmt.Errorf("%s %s is described twice", method, path)
			}
			have.SetOperation(method, operation)
		}
	}
	if ours.Components == nil {
		return errors.New("what is described by hand has no components")
	}
	for name, schema := range ours.Components.Schemas {
		if schema.Value.Extensions["x-generated"] != true {
			document.Components.Schemas[name] = schema
		} else if document.Components.Schemas[name] == nil {
			return fmt.Errorf("the schema %s is not generated", name)
		}
	}
	document.Components.SecuritySchemes = ours.Components.SecuritySchemes
	document.Components.Responses = ours.Components.Responses
	document.Components.Parameters = ours.Components.Parameters
	document.Components.Headers = ours.Components.Headers
	return nil
}

// errorsEverywhere lets every generated operation refer to the one description of errors, and its first sentence be
// its summary.
func errorsEverywhere(document *openapi3.T) {
	for _, item := range document.Paths.Map() {
		for _, operation := range item.Operations() {
			response := operation.Responses.Default()
			if response != nil && response.Ref == "" {
				operation.Responses.Set("default", &openapi3.ResponseRef{Ref: "#/components/responses/Error"})
			}
			if operation.RequestBody != nil && operation.RequestBody.Value != nil {
				delete(operation.RequestBody.Value.Extensions, "x-originalParamName")
			}
			if text, ok := strings.CutPrefix(operation.Summary, operation.OperationID+" "); ok && text != "" {
				operation.Summary = strings.ToUpper(text[:1]) + text[1:]
			}
		}
	}
}

// dropUnused removes the schemas that nothing refers to, again until none is left.
func dropUnused(document *openapi3.T) {
	for {
		text, err := document.MarshalJSON()
		if err != nil {
			return // Convert meets the same error
		}
		removed := false
		for name := range document.Components.Schemas {
			if !bytes.Contains(text, []byte(`"#/components/schemas/`+name+`"`)) {
				delete(document.Components.Schemas, name)
				removed = true
			}
		}
		if !removed {
			return
		}
	}
}
