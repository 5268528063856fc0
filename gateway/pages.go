package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/comity-federation/comity/gateway/openapi"
)

//go:embed pages.html
var pageTemplate string

//go:embed pages.css
var pageStyle string

// pages are the description of the API: /openapi.json for programs, / and /docs for people.
type pages struct {
	html   []byte
	policy string // Content-Security-Policy
}

func newPages() (*pages, error) {
	var description apiDescription
	if err := json.Unmarshal(openapi.Document(), &description); err != nil {
		return nil, fmt.Errorf("reading the description of the API: %w", err)
	}
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	var html bytes.Buffer
	if err := t.Execute(&html, description.view()); err != nil {
		return nil, fmt.Errorf("making the page: %w", err)
	}
	hash := sha256.Sum256([]byte(pageStyle))
	return &pages{
		html: html.Bytes(),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

func (p *pages) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openapi.Document())
}

func (p *pages) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(p.html)
}

// apiDescription is as much of an OpenAPI 3 document as the page shows.
type apiDescription struct {
	Info struct{ Title, Version, Description string }
	Tags []struct{ Name, Description string }

	Paths      map[string]map[string]apiOperation
	Components struct{ Schemas map[string]apiSchema }
}

type apiOperation struct {
	OperationID string
	Summary     string
	Description string
	Tags        []string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                apiSchema
	}
	RequestBody struct{ Content map[string]apiMedia }
	Responses   map[string]apiResponse
}

type apiResponse struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]apiMedia
}

type apiMedia struct{ Schema apiSchema }

type apiSchema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Format               string
	Description          string
	Enum                 []string
	Items                *apiSchema
	AllOf                []apiSchema
	Properties           map[string]apiSchema
	AdditionalProperties json.RawMessage
}

// name returns the name of the schema that s refers to, or "".
func (s *apiSchema) name() string {
	ref := s.Ref
	if ref == "" && len(s.AllOf) == 1 {
		ref = s.AllOf[0].Ref
	}
	return strings.TrimPrefix(ref, "#/components/schemas/")
}

// kind returns what s is, in words, and the schema that it links to, or "".
func (s *apiSchema) kind() (words, link string) {
	if name := s.name(); name != "" {
		return "", name
	}
	switch {
	case s.Type == "array" && s.Items != nil:
		words, link = s.Items.kind()
		return strings.TrimSpace("list of " + words), link
	case s.Type == "object" && len(s.AdditionalProperties) > 0:
		var values apiSchema
		if json.Unmarshal(s.AdditionalProperties, &values) == nil {
			words, link = values.kind()
			return strings.TrimSpace("object of " + words), link
		}
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, " · "), ""
	case s.Format != "":
		return s.Type + " (" + s.Format + ")", ""
	}
	return s.Type, ""
}

// The view of the page.
type (
	pageView struct {
		Title, Version string
		Description    []template.HTML // paragraphs
		Style          template.CSS
		Tags           []tagView
		Schemas        []schemaView
	}
	tagView struct {
		Name, Description string
		Operations        []operationView
	}
	operationView struct {
		ID, Method, Path, Summary string
		Description               []template.HTML
		Parameters, Body, Answers []fieldView
	}
	schemaView struct {
		Name, Description string
		Enum              []string
		Fields            []fieldView
	}
	fieldView struct {
		Name, Where, Kind, Link, Description string
	}
)

func (d *apiDescription) view() pageView {
	v := pageView{
		Title: d.Info.Title, Version: d.Info.Version, Description: paragraphs(d.Info.Description),
		Style: template.CSS(pageStyle), //nolint:gosec // our own file
	}
	for _, tag := range d.Tags {
		t := tagView{Name: tag.Name, Description: tag.Description}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
				if o := d.Paths[path][method]; slices.Contains(o.Tags, tag.Name) {
					t.Operations = append(t.Operations, o.view(strings.ToUpper(method), path))
				}
			}
		}
		v.Tags = append(v.Tags, t)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		sv := schemaView{Name: name, Description: s.Description, Enum: s.Enum}
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			sv.Fields = append(sv.Fields, fieldOf(field, "", s.Properties[field]))
		}
		v.Schemas = append(v.Schemas, sv)
	}
	return v
}

func (o *apiOperation) view(method, path string) operationView {
	v := operationView{ID: o.OperationID, Method: method, Path: path, Summary: o.Summary, Description: paragraphs(o.Description)}
	for _, p := range o.Parameters {
		f := fieldOf(p.Name, p.In, p.Schema)
		f.Description = p.Description
		v.Parameters = append(v.Parameters, f)
	}
	for _, t := range slices.Sorted(maps.Keys(o.RequestBody.Content)) {
		v.Body = append(v.Body, fieldOf(t, "", o.RequestBody.Content[t].Schema))
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		r := o.Responses[status]
		if r.Ref != "" {
			continue // errors are described once
		}
		if len(r.Content) == 0 {
			v.Answers = append(v.Answers, fieldView{Name: status, Description: r.Description})
		}
		for _, t := range slices.Sorted(maps.Keys(r.Content)) {
			f := fieldOf(status, t, r.Content[t].Schema)
			f.Description = r.Description
			v.Answers = append(v.Answers, f)
		}
	}
	return v
}

func fieldOf(name, where string, s apiSchema) fieldView {
	kind, link := s.kind()
	return fieldView{Name: name, Where: where, Kind: kind, Link: link, Description: s.Description}
}

// paragraphs splits a text at its empty lines; what stands between backticks becomes code.
func paragraphs(text string) []template.HTML {
	var all []template.HTML
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var html strings.Builder
		for i, part := range strings.Split(paragraph, "`") {
			part = template.HTMLEscapeString(part)
			if i%2 == 1 {
				part = "<code>" + part + "</code>"
			}
			html.WriteString(part)
		}
		if html.Len() > 0 {
			all = append(all, template.HTML(html.String())) //nolint:gosec // escaped above
		}
	}
	return all
}
