package serve

import (
	"encoding/json"
	"net/http"
	"testing"
)

const described = `{"functions":[
{"name":"messages.list","kind":"query","plugin":"chat","doc":"the newest first","args":{"type":"object","properties":{
 "room":{"type":"integer"},"text":{"type":["string","null"]},"tags":{"type":"array","items":{"type":"string"}},"any":{}},"required":["room"],"additionalProperties":false},
 "access":{"policies":["member"]},"result":{"type":"array","items":{"type":"object","properties":{"id":{"type":"integer"}}}}},
{"name":"rooms.list","kind":"query","plugin":"chat","args":{"type":"object"},"access":"public"},
{"name":"messages.send","kind":"mutation","plugin":"chat","args":{"type":"object","properties":{"body":{"type":"string"}}},"access":"signed_in","result":{"type":"null"}}]}`

// in walks a decoded document.
func in(t *testing.T, doc any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			members, _ := doc.(map[string]any)
			doc = members[s]
		case int:
			items, _ := doc.([]any)
			if s >= len(items) {
				t.Fatalf("no item %d in %v", s, doc)
			}
			doc = items[s]
		}
	}
	return doc
}

func TestOpenAPISaysWhatTheSchemaSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Schema = func(string) Schema { return Schema{JSON: []byte(described), Digest: "d"} }
	})
	f.user("ann", "ann", inAnHour())
	if res := f.do(http.MethodGet, "/v1/openapi.json", ""); res.status != 401 {
		t.Errorf("anonymous: %d", res.status)
	}
	read := func(path string) (doc any) {
		t.Helper()
		res := f.do(http.MethodGet, path, "", "Authorization: Bearer ann")
		if err := json.Unmarshal([]byte(res.body), &doc); err != nil || res.status != 200 || res.header.Get("ETag") != `"d"` {
			t.Fatalf("%s: %d %s", path, res.status, res.body)
		}
		return doc
	}
	doc := read("/v1/openapi.json")
	is := func(want any, path ...any) {
		t.Helper()
		if got := in(t, doc, path...); got != want {
			t.Errorf("%v is %v, want %v", path, got, want)
		}
	}
	is("3.1.0", "openapi")
	is("0.1.0", "info", "version")
	list := []any{"paths", "/v1/q/messages.list", "get"}
	at := func(path ...any) []any { return append(append([]any{}, list...), path...) }
	is("messages.list", at("operationId")...)
	is("the newest first", at("summary")...)
	// What a URL writes as JSON does is plain; the rest is JSON in a parameter.
	for i, want := range []string{"any", "room", "tags", "text"} {
		is(want, at("parameters", i, "name")...)
		is("query", at("parameters", i, "in")...)
	}
	is("array", at("parameters", 2, "content", "application/json", "schema", "type")...)
	is("integer", at("parameters", 1, "schema", "type")...)
	is(true, at("parameters", 1, "required")...)
	is(nil, at("parameters", 3, "required")...)
	is("integer", at("responses", "200", "content", "application/json", "schema", "properties", "rows", "items", "properties", "id", "type")...)
	is("#/components/schemas/Problem", at("responses", "default", "content", "application/problem+json", "schema", "$ref")...)
	is("object", "paths", "/v1/q/messages.list", "post", "requestBody", "content", "application/json", "schema", "type")
	is("string", "paths", "/v1/call/messages.send", "post", "requestBody", "content", "application/json", "schema", "properties", "body", "type")
	is("Idempotency-Key", "paths", "/v1/call/messages.send", "post", "parameters", 0, "name")
	// Nobody in particular may ask what is public.
	if got := in(t, doc, "paths", "/v1/q/rooms.list", "get", "security").([]any); len(got) != 3 || len(got[0].(map[string]any)) != 0 {
		t.Errorf("security of a public query: %v", got)
	}
	if got := in(t, doc, append(list, "security")...).([]any); len(got) != 2 {
		t.Errorf("security of a guarded query: %v", got)
	}
	doc = read("/t/default/v1/openapi.json")
	is("messages.list", "paths", "/t/default/v1/q/messages.list", "get", "operationId")
}
