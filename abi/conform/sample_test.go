package conform

import (
	"testing"

	"weir/abi"
)

// Every schema that allows anything has a sample that it takes.
func TestSamplesFitTheirSchema(t *testing.T) {
	t.Parallel()
	zero, two, nine, ten := 0.5, 2, 9, 10.0
	null := abi.Null()
	fields := []abi.Field{{Name: "a", Schema: abi.Schema{Type: "integer"}}, {Name: "b", Schema: abi.Schema{Type: "string", Optional: true}}}
	schemas := []abi.Schema{
		{},
		{Format: "json"},
		{Type: "integer"},
		{Type: "number"},
		{Type: "boolean"},
		{Type: "string"},
		{Type: "array"},
		{Type: "object"},
		{Type: "integer", Min: &zero, Max: &ten},
		{Type: "integer", Min: &ten},
		{Type: "number", Max: &zero},
		{Type: "string", MinLen: &nine},
		{Type: "string", MaxLen: &two},
		{Type: "string", Enum: []string{"no", "yes"}},
		{Type: "string", Format: "uuid"},
		{Type: "string", Format: "date"},
		{Type: "string", Format: "date-time"},
		{Type: "string", Format: "bytes"},
		{Type: "string", Format: "decimal"},
		{Type: "string", Format: "json"},
		{Type: "string", Format: "colour"},
		{Type: "array", MinLen: &nine, Items: &abi.Schema{Type: "string", Format: "uuid"}},
		{Type: "object", Fields: fields},
		{Type: "integer", Optional: true},
		{Type: "integer", Default: &null},
	}
	for _, s := range schemas {
		for _, full := range []bool{true, false} {
			f := &abi.Function{Name: "f", Kind: abi.Query, Fields: []abi.Field{{Name: "x", Schema: s}}, Claims: []abi.Claim{{Name: "c", Claim: "c", Schema: s}}}
			in, err := inputOf(f, full)
			if err != nil || len(in.Values) != 2 {
				t.Errorf("%+v, full %v: %v, %v", s, full, in.Values, err)
			}
		}
	}
}

func TestFunctionsAreShownWithTheirTypes(t *testing.T) {
	t.Parallel()
	f := func(fn Function, want string) {
		t.Helper()
		if got := fn.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(Function{"weir_1", "query", "iii:i"}, "weir_1.query(i32, i32, i32) → i32")
	f(Function{"", "_initialize", ":"}, "_initialize()")
	f(Function{"", "now", ":I"}, "now() → i64")
	f(Function{"env", "f", "?I:?"}, "env.f(?, i64) → ?")
}
