package abi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/abi"
)

// asked is a function with a field of each kind, all of them optional.
var asked = &abi.Function{Name: "f", Fields: []abi.Field{
	{Name: "i", Schema: abi.Schema{Type: "integer", Optional: true}},
	{Name: "f", Schema: abi.Schema{Type: "number", Optional: true}},
	{Name: "s", Schema: abi.Schema{Type: "string", Optional: true}},
	{Name: "any", Schema: abi.Schema{Optional: true}},
	{Name: "raw", Schema: abi.Schema{Format: "json", Optional: true}},
	{Name: "list", Schema: abi.Schema{Type: "array", Optional: true}},
	{Name: "fs", Schema: abi.Schema{Type: "array", Optional: true, Items: &abi.Schema{Type: "number"}}},
	{Name: "o", Schema: abi.Schema{Type: "object", Optional: true, Fields: []abi.Field{{Name: "any", Schema: abi.Schema{Optional: true}}}}},
	{Name: "d", Schema: abi.Schema{Type: "integer", Default: ptr(abi.Int(7))}},
}}

// askedWith returns the input of a JSON text, false if it is refused.
func askedWith(text string) (abi.Input, bool) {
	args, err := abi.ParseJSON([]byte(text), 0)
	if err != nil {
		return abi.Input{}, false
	}
	in, err := asked.Input(args, abi.Caller{})
	return in, err == nil
}

// meant writes down what a text asks for, without any code of the package: two
// texts ask for the same exactly if no function could tell them apart.
func meant(t *testing.T, text string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q was taken: %v", text, err)
	}
	args, _ := v.(map[string]any)
	var b strings.Builder
	for i := range asked.Fields {
		field := &asked.Fields[i]
		fmt.Fprintf(&b, "%s=%s\n", field.Name, meantBy(&field.Schema, args[field.Name]))
	}
	return b.String()
}

func meantBy(s *abi.Schema, v any) string {
	switch v := v.(type) {
	case nil:
		if s.Default != nil {
			return "7"
		}
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return strconv.Quote(v)
	case json.Number:
		return meantNumber(s, string(v))
	case []any:
		items := &abi.Schema{Format: s.Format}
		if s.Items != nil {
			items = s.Items
		}
		var b strings.Builder
		for _, item := range v {
			b.WriteString(meantBy(items, item) + ",")
		}
		return "[" + b.String() + "]"
	case map[string]any:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if s.Type == "object" && v[key] == nil {
				continue // null is what is absent
			}
			b.WriteString(strconv.Quote(key) + "=" + meantBy(&abi.Schema{Format: s.Format}, v[key]) + ",")
		}
		return "{" + b.String() + "}"
	}
	panic("no JSON")
}

// meantNumber: an integer of 64 bits is exact, any other number is a float, and all
// are floats in a field of type number. Text that is JSON keeps how it was spelt.
func meantNumber(s *abi.Schema, text string) string {
	n, whole := new(big.Int).SetString(text, 10)
	whole = whole && (n.IsInt64() || n.IsUint64())
	if whole && s.Type != "number" {
		return n.String()
	}
	if s.Format == "json" {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if whole {
		f, _ = new(big.Float).SetInt(n).Float64() // -0 is 0, as an integer is
	} else if err != nil && f != 0 {
		panic(err)
	}
	return fmt.Sprintf("float %x", math.Float64bits(f))
}

// FuzzArguments: W4. Whatever two callers write, their inputs are equal exactly if
// they mean the same, and what statements are given is what was keyed.
// Cases: 80.
func FuzzArguments(f *testing.F) {
	for _, pair := range [][2]string{
		{`{}`, `{"i":null,"d":7}`},
		{`{"any":1}`, `{"any":1.0}`},
		{`{"any":1.0}`, `{"any":1.00}`},
		{`{"list":[0.1]}`, `{"list":[0.10000000000000000001]}`},
		{`{"any":18446744073709551616}`, `{"any":18446744073709551617}`},
		{`{"any":9007199254740992}`, `{"any":9007199254740993}`},
		{`{"f":-9007199254740994}`, `{"f":-9007199254740994.0}`},
		{`{"fs":[1,-0,-0.0]}`, `{"fs":[1e0,0,0]}`},
		{`{"any":{"a":1,"b":[]}}`, `{"any": {"b":[],"\u0061":1}}`},
		{`{"any":"\u00e9"}`, `{"any":"e\u0301"}`},
		{`{"s":"a"}`, `{"S":"a"}`},
		{`{"raw":1.0,"o":{}}`, `{"raw":1.00,"o":{"any":null}}`},
		{`{"raw":{"b":1e5,"a":-0}}`, `{"raw":{"a":0,"b":1E5}}`},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		var inputs []abi.Input
		for _, text := range []string{one, two} {
			in, ok := askedWith(text)
			if !ok {
				return
			}
			keyed, err := abi.DecodeCBOR(in.Bytes)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if given := abi.Array(in.Values...).AppendJSON(nil); !bytes.Equal(given, keyed.AppendJSON(nil)) {
				t.Errorf("%s: statements are given %s, the key has %s", text, given, keyed.AppendJSON(nil))
			}
			inputs = append(inputs, in)
		}
		if same := meant(t, one) == meant(t, two); same != bytes.Equal(inputs[0].Bytes, inputs[1].Bytes) {
			t.Errorf("%s\n%s\nmean the same: %v; their inputs are %x and %x", one, two, same, inputs[0].Bytes, inputs[1].Bytes)
		}
	})
}
