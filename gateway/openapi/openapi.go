// Package openapi holds the description of the HTTP API in OpenAPI 3.
//
// comity.swagger.json comes from the protos and routes.yaml, handwritten.yaml describes what is not mapped to an RPC
// there; openapi.json is made of the two.
package openapi

import _ "embed"

//go:generate go run ./convert comity.swagger.json handwritten.yaml openapi.json

//go:embed openapi.json
var document []byte

// Document returns the description as JSON. It must not be changed.
func Document() []byte { return document }
