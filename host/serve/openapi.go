package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"weir/abi"
)

// jsonObject is a JSON object that is written with its members in order of their names.
type jsonObject = map[string]any

// shown is a function as GET /v1/schema describes it.
type shown struct {
	Name   string          `json:"name"`
	Kind   abi.Kind        `json:"kind"`
	Plugin string          `json:"plugin"`
	Doc    string          `json:"doc"`
	Args   json.RawMessage `json:"args"`
	Access json.RawMessage `json:"access"`
	Result json.RawMessage `json:"result"`
}

// handleOpenAPI answers GET /v1/openapi.json: what /v1/schema says, in the words of
// OpenAPI 3.1, whose schemas are the same JSON Schema.
func (s *Server) handleOpenAPI(w http.ResponseWriter, r *http.Request) {
	base := strings.TrimSuffix(r.URL.Path, "/openapi.json")
	s.describe(w, r, func(doc []byte) ([]byte, error) { return openAPI(doc, base, s.cfg.Version) })
}

// openAPI makes the document of that of /v1/schema, for the paths under base.
func openAPI(schema []byte, base, version string) ([]byte, error) {
	var list struct {
		Functions []shown `json:"functions"`
	}
	if err := json.Unmarshal(schema, &list); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	paths := jsonObject{}
	for i := range list.Functions {
		f := &list.Functions[i]
		switch f.Kind {
		case abi.Query:
			get, err := f.get()
			if err != nil {
				return nil, err
			}
			paths[base+"/q/"+f.Name] = jsonObject{"get": get, "post": f.post(f.Name+".post", queryAnswers(f))}
		case abi.Mutation:
			paths[base+"/call/"+f.Name] = jsonObject{"post": f.call()}
		}
	}
	return json.Marshal(jsonObject{
		"openapi": "3.1.0",
		"info":    jsonObject{"title": "weir", "version": version},
		"paths":   paths,
		"components": jsonObject{
			"schemas": jsonObject{"Problem": problemSchema()},
			"securitySchemes": jsonObject{
				"bearer": jsonObject{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
				"cookie": jsonObject{"type": "apiKey", "in": "cookie", "name": cookieName},
			},
		},
	})
}

// operation is what queries and mutations have in common.
func (f *shown) operation(id string, answers jsonObject) jsonObject {
	security := []jsonObject{{"bearer": []string{}}, {"cookie": []string{}}}
	if string(f.Access) == `"public"` {
		security = append([]jsonObject{{}}, security...)
	}
	answers["default"] = jsonObject{
		"description": "a problem", "content": jsonObject{"application/problem+json": jsonObject{"schema": jsonObject{"$ref": "#/components/schemas/Problem"}}},
	}
	o := jsonObject{"operationId": id, "tags": []string{f.Plugin}, "security": security, "responses": answers}
	if f.Doc != "" {
		o["summary"] = f.Doc
	}
	return o
}

// get is a query by URL: strings as they are, everything else as JSON.
func (f *shown) get() (jsonObject, error) {
	var args struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if err := json.Unmarshal(f.Args, &args); err != nil {
		return nil, fmt.Errorf("read the arguments of %s: %w", f.Name, err)
	}
	names := slices.Sorted(maps.Keys(args.Properties))
	params := make([]jsonObject, 0, len(names))
	for _, name := range names {
		p := jsonObject{"name": name, "in": "query"}
		if slices.Contains(args.Required, name) {
			p["required"] = true
		}
		if plainInURL(args.Properties[name]) {
			p["schema"] = args.Properties[name]
		} else {
			p["content"] = jsonContent(args.Properties[name])
		}
		params = append(params, p)
	}
	o := f.operation(f.Name, queryAnswers(f))
	if len(params) > 0 {
		o["parameters"] = params
	}
	return o, nil
}

// post is a function whose arguments are the body.
func (f *shown) post(id string, answers jsonObject) jsonObject {
	o := f.operation(id, answers)
	o["requestBody"] = jsonObject{"content": jsonContent(f.Args)}
	return o
}

func (f *shown) call() jsonObject {
	var result any = jsonObject{}
	if len(f.Result) > 0 {
		result = f.Result
	}
	o := f.post(f.Name, jsonObject{"200": jsonObject{"description": "what came of it", "content": jsonContent(jsonObject{
		"type": "object", "required": []string{"result", "tx"},
		"properties": jsonObject{"result": result, "tx": jsonObject{"type": []string{"string", "null"}}},
	})}})
	o["parameters"] = []jsonObject{
		{"name": "Idempotency-Key", "in": "header", "schema": jsonObject{"type": "string", "maxLength": maxIdempotencyKey}, "description": "the same call with the same key runs once"},
		{"name": "Weir-Session", "in": "header", "schema": jsonObject{"type": "string"}, "description": "the stream that is told when its results show what was written"},
	}
	return o
}

// queryAnswers are one result, or a stream of it.
func queryAnswers(f *shown) jsonObject {
	var result any = jsonObject{}
	if len(f.Result) > 0 {
		result = f.Result
	}
	return jsonObject{
		"200": jsonObject{"description": "the result: rows of a statement, or a computed value", "content": jsonObject{
			"application/json": jsonObject{"schema": jsonObject{
				"type": "object", "required": []string{"v"},
				"properties": jsonObject{
					"v": jsonObject{"type": "string"}, "key": jsonObject{"type": "array", "items": jsonObject{"type": "string"}},
					"rows": result, "value": result,
				},
			}},
			"text/event-stream": jsonObject{"schema": jsonObject{"type": "string"}},
		}},
		"304": jsonObject{"description": "as it was: If-None-Match names its version"},
	}
}

func jsonContent(schema any) jsonObject {
	return jsonObject{"application/json": jsonObject{"schema": schema}}
}

func problemSchema() jsonObject {
	text, yes := jsonObject{"type": "string"}, jsonObject{"type": "boolean"}
	return jsonObject{
		"type": "object", "required": []string{"status", "code", "message", "request_id"},
		"properties": jsonObject{"status": jsonObject{"type": "integer"}, "code": text, "message": text, "retryable": yes, "request_id": text},
	}
}

// plainInURL reports whether JSON and a URL write a value alike: a number, truth,
// or a string that is not JSON itself.
func plainInURL(schema json.RawMessage) bool {
	var s struct {
		Type any `json:"type"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return false
	}
	types, _ := s.Type.([]any)
	if one, is := s.Type.(string); is {
		types = []any{one}
	}
	plain := false
	for _, t := range types {
		switch t {
		case "string", "number", "integer", "boolean":
			plain = true
		case "null":
		default:
			return false
		}
	}
	return plain
}
