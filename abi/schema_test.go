package abi_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/abi"
)

func ptr[T any](v T) *T { return &v }

func TestSchemaCompletesArguments(t *testing.T) {
	t.Parallel()
	f := func(s abi.Schema, in, want string) {
		t.Helper()
		got, err := s.Check(mustJSON(t, in))
		if err != nil || got.String() != want {
			t.Errorf("%+v: %s: got %v, %v, want %s", s, in, got, err, want)
		}
	}
	integer := abi.Schema{Type: "integer"}
	f(integer, "9007199254740993", "9007199254740993")
	f(integer, "18446744073709551615", "18446744073709551615")
	f(abi.Schema{Type: "number"}, "1", "1")
	f(abi.Schema{Type: "number"}, "1.0", "1")
	f(abi.Schema{}, "1.0", "1") // a float, of which the key has no spelling (W4)
	f(abi.Schema{}, `{"a":[0.10000000000000000001,{"b":1e0}]}`, `{"a":[0.1,{"b":1}]}`)
	f(abi.Schema{Type: "number"}, "-9007199254740994", "-9007199254740994")
	f(abi.Schema{Type: "number"}, "-18446744073709551616", "-18446744073709552000")
	f(abi.Schema{Type: "array"}, "[1.00]", "[1]")
	f(abi.Schema{}, `{"b":[1,null],"a":"x"}`, `{"a":"x","b":[1,null]}`)
	f(abi.Schema{Type: "integer", Optional: true}, "null", "null")
	f(abi.Schema{Type: "integer", Optional: true, Default: ptr(abi.Int(5))}, "null", "5")
	f(abi.Schema{Type: "string", MaxLen: ptr(2)}, `"üü"`, `"üü"`)
	str := func(format string) abi.Schema { return abi.Schema{Type: "string", Format: format} }
	f(str("uuid"), `"0190D0C4-7F5A-7B2E-9C1D-2F6B8A4E1C3D"`, `"0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d"`)
	f(str("date"), `"2024-02-29"`, `"2024-02-29"`)
	f(str("date-time"), `"2026-01-31T09:30:00+02:00"`, `"2026-01-31T07:30:00.000000Z"`)
	f(str("date-time"), `"2026-01-31t23:30:00.1234567-01:00"`, `"2026-02-01T00:30:00.123456Z"`)
	f(str("date-time"), `"0001-01-01T00:00:00.999999999Z"`, `"0001-01-01T00:00:00.999999Z"`)
	f(str("decimal"), `"-0012.50"`, `"-12.50"`)
	f(str("decimal"), `"-0.00"`, `"0.00"`)
	f(str("bytes"), `"AQI="`, `"AQI="`)
	f(str("email"), `"anything"`, `"anything"`)
	f(str("json"), `{"b": 1.0, "a": [0.10000000000000000001]}`, `"{\"a\":[0.10000000000000000001],\"b\":1.0}"`)
	f(str("json"), "null", `"null"`)
	f(abi.Schema{Type: "array", Items: &abi.Schema{Type: "number"}}, "[1,2.5]", "[1,2.5]")
	f(abi.Schema{Type: "object", Fields: []abi.Field{
		{Name: "b", Schema: integer}, {Name: "a", Schema: abi.Schema{Type: "string", Optional: true}},
	}}, `{"b":1}`, "[1,null]")
}

func TestSchemaRefusals(t *testing.T) {
	t.Parallel()
	room := abi.Field{Name: "room", Schema: abi.Schema{Type: "integer"}}
	limit := abi.Field{Name: "limit", Schema: abi.Schema{Type: "integer", Optional: true, Min: ptr(1.0), Max: ptr(200.0)}}
	with := func(s abi.Schema) *abi.Function {
		return &abi.Function{Name: "f", Fields: []abi.Field{room, limit, {Name: "x", Schema: s}}}
	}
	f := func(s abi.Schema, args, want string) {
		t.Helper()
		_, err := with(s).Input(mustJSON(t, args), abi.Caller{})
		var e *abi.ArgumentError
		if !errors.As(err, &e) || err.Error() != want || e.Code() != abi.BadRequest {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
	opt := abi.Schema{Optional: true}
	f(opt, `{"rom":7}`, `unknown argument "rom": did you mean "room"?`)
	f(opt, `{"room":7,"colour":1}`, `unknown argument "colour": there are room, limit, x`)
	f(opt, `{}`, `argument "room": missing`)
	f(opt, `{"room":null}`, `argument "room": must not be null`)
	f(opt, `{"room":"1"}`, `argument "room": want an integer, found "1"`)
	f(opt, `{"room":1.0}`, `argument "room": want an integer, found 1.0`)
	f(opt, `{"room":18446744073709551616}`, `argument "room": want an integer, found 18446744073709551616`)
	f(opt, `{"room":true}`, `argument "room": want an integer, found true`)
	f(opt, `{"room":[1]}`, `argument "room": want an integer, found an array`)
	f(opt, `{"room":7,"limit":0}`, `argument "limit": 0 is less than 1`)
	f(opt, `{"room":7,"limit":201}`, `argument "limit": 201 is more than 200`)
	f(opt, `[7]`, `arguments: want an object, found an array`)
	f(opt, `"x"`, `arguments: want an object, found "x"`)
	one := func(s abi.Schema, x, want string) {
		t.Helper()
		f(s, `{"room":7,"x":`+x+`}`, want)
	}
	one(abi.Schema{Type: "string"}, `1`, `argument "x": want a string, found 1`)
	one(abi.Schema{Type: "string"}, `"a\u0000"`, `argument "x": contains the character U+0000, which no text in PostgreSQL can hold`)
	one(abi.Schema{Type: "string", MinLen: ptr(2)}, `"ü"`, `argument "x": 1 characters are fewer than 2`)
	one(abi.Schema{Type: "string", MaxLen: ptr(2)}, `"abc"`, `argument "x": 3 characters are more than 2`)
	one(abi.Schema{Type: "string", Enum: []string{"open", "closed"}}, `"opn"`, `argument "x": "opn" is not one of open, closed: did you mean "open"?`)
	one(abi.Schema{Type: "number", Max: ptr(1.5)}, `2`, `argument "x": 2 is more than 1.5`)
	one(abi.Schema{Type: "number"}, `"2"`, `argument "x": want a number, found "2"`)
	one(abi.Schema{Type: "boolean"}, `1`, `argument "x": want true or false, found 1`)
	one(abi.Schema{Type: "array", Items: &abi.Schema{Type: "integer"}}, `[1,"2"]`, `argument "x[1]": want an integer, found "2"`)
	one(abi.Schema{Type: "array", Items: &abi.Schema{Type: "integer"}}, `[null]`, `argument "x[0]": must not be null`)
	one(abi.Schema{Type: "array", MaxLen: ptr(1)}, `[1,2]`, `argument "x": 2 items are more than 1`)
	nested := abi.Schema{Type: "object", Fields: []abi.Field{room}}
	one(nested, `{"rooom":1}`, `unknown argument "x.rooom": did you mean "room"?`)
	one(nested, `{"room":"1"}`, `argument "x.room": want an integer, found "1"`)
	for format, bad := range map[string]string{
		"uuid":      `"0190d0c47f5a7b2e9c1d2f6b8a4e1c3d" "{0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d}" "0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3g"`,
		"date":      `"2026-02-29" "2026-2-1" "0000-01-01" "2026-13-01" "2026-00-01" "2026-01-00" "today" "2026-01-01\n"`,
		"date-time": `"2026-01-31" "2026-01-31T09:30:00" "2026-01-31T24:00:00Z" "2026-01-31T09:30:60Z" "2026-01-31T09:30:00.Z" "2026-01-31T09:30:00.1234567890Z" "0001-01-01T00:00:00+01:00" "9999-12-31T23:59:59-01:00" "2026-01-31T09:30:00+0100" "2026-01-31T09:30:00+24:00" "now"`,
		"decimal":   `"" "." "1." ".5" "+1" "1e5" "NaN" "--1" "1,5" "٣"`,
		"bytes":     `"AQI" "AQJ=" "AQI=AQI=" "A-I=" "AQ\n=="`,
	} {
		for _, x := range strings.Split(bad, " ") {
			_, err := with(abi.Schema{Type: "string", Format: format}).Input(mustJSON(t, `{"room":7,"x":`+x+`}`), abi.Caller{})
			if err == nil || !strings.HasPrefix(err.Error(), `argument "x": want `) {
				t.Errorf("%s %s: got %v", format, x, err)
			}
		}
	}
}

func TestIntegerBoundsAreExactPastFloats(t *testing.T) {
	t.Parallel()
	exact := func(v abi.Value) *big.Float {
		f, _, err := big.ParseFloat(v.String(), 10, 200, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	check := func(v abi.Value, bound float64) bool {
		_, less := (&abi.Schema{Type: "integer", Min: &bound}).Check(v)
		_, more := (&abi.Schema{Type: "integer", Max: &bound}).Check(v)
		want := exact(v).Cmp(big.NewFloat(bound))
		return (less != nil) == (want < 0) && (more != nil) == (want > 0)
	}
	lowest, err := abi.DecodeCBOR([]byte("\x3b\xff\xff\xff\xff\xff\xff\xff\xff")) // -2^64
	if err != nil {
		t.Fatal(err)
	}
	bounds := []float64{0, 0.5, -0.5, 1, -1, -1.5, 1 << 53, 1<<63 - 1024, 1 << 63, -1 << 63, 1 << 64, -1 << 64, -(1 << 65), 1e300, -1e300, math.SmallestNonzeroFloat64}
	for _, v := range []abi.Value{abi.Int(0), abi.Int(1), abi.Int(-1), abi.Int(-2), abi.Int(1<<53 + 1), abi.Int(math.MaxInt64), abi.Int(math.MinInt64), abi.Uint(math.MaxUint64), lowest} {
		for _, b := range bounds {
			if !check(v, b) {
				t.Errorf("%v is compared wrongly with %v", v, b)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := abi.Int(rapid.Int64().Draw(t, "int"))
		b := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-100, 100), rapid.SampledFrom(bounds)).Draw(t, "bound")
		if !check(v, b) {
			t.Fatalf("%v is compared wrongly with %v", v, b)
		}
	})
}

func TestNearestNeedsMostLettersToAgree(t *testing.T) {
	t.Parallel()
	f := func(name, want string, among ...string) {
		t.Helper()
		if got := abi.Nearest(name, among); got != want {
			t.Errorf("Nearest(%q, %v) = %q, want %q", name, among, got, want)
		}
	}
	f("rom", "room", "limit", "room")
	f("lmiit", "limit", "limit", "room")
	f("acces", "access", "action", "access")
	f("x", "y", "y", "zz")
	f("colour", "", "room", "limit")
	f("", "", "room")
	f("messages.lst", "messages.list", "messages.post", "messages.list")
	f(strings.Repeat("a", 300), "", strings.Repeat("a", 299))
}

func TestJSONSchemaOfArguments(t *testing.T) {
	t.Parallel()
	fn := abi.Function{Fields: []abi.Field{
		{Name: "room", Schema: abi.Schema{Type: "integer", Doc: "which room"}},
		{Name: "limit", Schema: abi.Schema{Type: "integer", Min: ptr(1.0), Max: ptr(200.0), Default: ptr(abi.Int(50))}},
		{Name: "raw", Schema: abi.Schema{Type: "string", Format: "bytes", Optional: true, MaxLen: ptr(3)}},
		{Name: "meta", Schema: abi.Schema{Type: "string", Format: "json"}},
		{Name: "tags", Schema: abi.Schema{Type: "array", MinLen: ptr(1), Items: &abi.Schema{Type: "string", Enum: []string{"a"}, MaxLen: ptr(9)}}},
		{Name: "at", Schema: abi.Schema{Type: "object", Fields: []abi.Field{{Name: "t", Schema: abi.Schema{Type: "string", Format: "date-time"}}}}},
	}}
	got := string(abi.AppendJSONSchema(nil, fn.Arguments()))
	want := `{"type":"object","properties":{"room":{"type":"integer","description":"which room"},` +
		`"limit":{"type":["integer","null"],"minimum":1,"maximum":200,"default":50},` +
		`"raw":{"type":["string","null"],"contentEncoding":"base64"},"meta":{},` +
		`"tags":{"type":"array","minItems":1,"items":{"type":"string","maxLength":9,"enum":["a"]}},` +
		`"at":{"type":"object","properties":{"t":{"type":"string","format":"date-time"}},"required":["t"],"additionalProperties":false}},` +
		`"required":["room","meta","tags","at"],"additionalProperties":false}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(got)) || !json.Valid(abi.AppendJSONSchema(nil, &abi.Schema{})) {
		t.Error("not JSON")
	}
}
