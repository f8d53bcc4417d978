package db

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/abi"
)

// Cases: 119.
func TestEveryTypeBecomesJSON(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create type pair as (a int, b text)`)
	f := func(expression, want, wantCBOR string) {
		t.Helper()
		s, err := d.PrepareSQL(t.Context(), `select `+expression+` as v`, Read)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			return
		}
		a := one(t, d, s)
		if a.Err != nil {
			t.Errorf("%s: %v", expression, a.Err)
			return
		}
		got := string(a.Rows.AppendValueJSON(nil, 0, 0))
		if got != want {
			t.Errorf("%s: JSON %s, want %s", expression, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is not JSON", expression, got)
		}
		if wantCBOR == "" {
			wantCBOR = want
		}
		if got := a.Rows.Value(0, 0).String(); got != wantCBOR {
			t.Errorf("%s: CBOR %s, want %s", expression, got, wantCBOR)
		}
		if row := string(a.Rows.AppendJSON(nil)); row != `[{"v":`+want+`}]` {
			t.Errorf("%s: row %s", expression, row)
		}
	}
	f(`null::int`, `null`, ``)
	f(`(-32768)::int2`, `-32768`, ``)
	f(`2147483647`, `2147483647`, ``)
	f(`9223372036854775807`, `9223372036854775807`, ``)
	f(`(-9223372036854775808)`, `-9223372036854775808`, ``)
	f(`12345678901234567890.123456789000::numeric`, `"12345678901234567890.123456789000"`, ``)
	f(`'NaN'::numeric`, `"NaN"`, ``)
	f(`1.5::float8`, `1.5`, ``)
	f(`0.1::float4`, `0.1`, `0.10000000149011612`)
	f(`1e300::float8`, `1e+300`, ``)
	f(`'-0'::float8`, `-0`, ``)
	f(`'NaN'::float8`, `"NaN"`, ``)
	f(`'Infinity'::float4`, `"Infinity"`, ``)
	f(`'-Infinity'::float8`, `"-Infinity"`, ``)
	f(`true`, `true`, ``)
	f(`'héllo'::text`, `"héllo"`, ``)
	f(`E'a"b\\c\nd\te\x01'`, `"a\"b\\c\nd\te\u0001"`, ``)
	f(`U&'\2028x\2029'`, `"\u2028x\u2029"`, "\"\u2028x\u2029\"")
	f(`'ab'::char(4)`, `"ab  "`, ``)
	f(`'open'::status`, `"open"`, ``)
	f(`'0A0B0C0D-0000-4000-8000-000000000001'::uuid`, `"0a0b0c0d-0000-4000-8000-000000000001"`, ``)
	f(`'2024-02-29 12:34:56.789+02'::timestamptz`, `"2024-02-29T10:34:56.789000Z"`, ``)
	f(`'1969-12-31 23:59:59.5Z'::timestamptz`, `"1969-12-31T23:59:59.500000Z"`, ``)
	f(`'0044-03-15 00:00:00+00 BC'::timestamptz`, `"0044-03-15T00:00:00.000000Z BC"`, ``)
	f(`'12024-01-01 00:00:00Z'::timestamptz`, `"12024-01-01T00:00:00.000000Z"`, ``)
	f(`'294276-12-31 23:59:59.999999Z'::timestamptz`, `"294276-12-31T23:59:59.999999Z"`, ``)
	f(`'4714-11-24 00:00:00Z BC'::timestamptz`, `"4714-11-24T00:00:00.000000Z BC"`, ``)
	f(`'2000-02-29 00:00:00Z'::timestamptz`, `"2000-02-29T00:00:00.000000Z"`, ``)
	f(`'infinity'::timestamptz`, `"infinity"`, ``)
	f(`'2024-02-29 12:34:56.5'::timestamp`, `"2024-02-29 12:34:56.5"`, ``)
	f(`'2024-02-29'::date`, `"2024-02-29"`, ``)
	f(`'12:34:56'::time`, `"12:34:56"`, ``)
	f(`interval '1 day 2 hours'`, `"1 day 02:00:00"`, ``)
	f(`'\x00ff'::bytea`, `"AP8="`, ``)
	f(`'{"a": [1, 2.50, "x y"], "b": null}'::jsonb`, `{"a":[1,2.50,"x y"],"b":null}`, `"{\"a\":[1,2.50,\"x y\"],\"b\":null}"`)
	f(`E'{"a" :\n 1, "a": "\\\\" }'::json`, `{"a":1,"a":"\\"}`, `"{\"a\":1,\"a\":\"\\\\\"}"`)
	f(`array[1,null,3]`, `[1,null,3]`, ``)
	f(`array[[1,2],[3,4]]::bigint[]`, `[[1,2],[3,4]]`, ``)
	f(`'{}'::int[]`, `[]`, ``)
	f(`'[0:1]={7,8}'::int[]`, `[7,8]`, ``)
	f(`array['a"b', null, 'NULL', '', 'c,d;e', '{}']`, `["a\"b",null,"NULL","","c,d;e","{}"]`, ``)
	f(`array[1.50, null]::numeric[]`, `["1.50",null]`, ``)
	f(`'[2:3]={1.5,2.5}'::numeric[]`, `["1.5","2.5"]`, ``)
	f(`array['open','closed']::status[]`, `["open","closed"]`, ``)
	f(`array['2024-01-01']::date[]`, `["2024-01-01"]`, ``)
	f(`array['2024-01-01Z']::timestamptz[]`, `["2024-01-01T00:00:00.000000Z"]`, ``)
	f(`array['{"a": 1}']::jsonb[]`, `[{"a":1}]`, `["{\"a\":1}"]`)
	f(`array[true,false]`, `[true,false]`, ``)
	f(`array['\x01']::bytea[]`, `["AQ=="]`, ``)
	f(`row(1,'x y')::pair`, `"(1,\"x y\")"`, ``)
	f(`array[row(1,'x')::pair]`, `["(1,x)"]`, ``)
	f(`'{(2,2),(1,1);(4,4),(3,3)}'::box[]`, `"{(2,2),(1,1);(4,4),(3,3)}"`, ``)
	f(`int4range(1,5)`, `"[1,5)"`, ``)
	f(`'1.2.3.4'::inet`, `"1.2.3.4"`, ``)
	f(`'1 2'::int2vector`, `"1 2"`, ``)
	f(`42::oid`, `"42"`, ``)
}

// Whatever bytes a row has, it stays one string of JSON on one line.
// Cases: 119.
func FuzzJSONString(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\x00\x1f\"\\\n\r\u2028\u2029\xff\xe2\x80"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := appendJSONString(nil, raw)
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if want := strings.ToValidUTF8(string(raw), ""); utf8.Valid(raw) && back != want {
			t.Fatalf("%q came back as %q", raw, back)
		}
		if strings.ContainsAny(string(got), "\n\r\x00\u2028\u2029") || !utf8.Valid(got) {
			t.Fatalf("%q has a line end or bad UTF-8", got)
		}
		if json.Valid(raw) {
			compact := appendCompact(nil, raw)
			if !json.Valid(compact) || strings.ContainsAny(string(compact), "\n\r\u2028\u2029") {
				t.Fatalf("compact %q", compact)
			}
		}
		for _, l := range []layout{{form: formText, array: true}, {form: formInt4, array: true, binary: true}, {form: formJSON, array: true}} {
			if tree, ok := parseArray(l, raw); ok && l.form != formJSON {
				if got := tree.appendJSON(nil, l.form); !json.Valid(got) {
					t.Fatalf("array %q gives %q", raw, got)
				}
				if !abi.IsDeterministic(tree.appendCBOR(nil, l.form)) {
					t.Fatalf("array %q has no CBOR", raw)
				}
			}
		}
	})
}

// Cases: 45.
func TestArgumentsAreCheckedNotCoerced(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	f := func(typ string, v abi.Value, want string) {
		t.Helper()
		s, err := d.PrepareSQL(t.Context(), `select ($v::`+typ+`)::text as v`, Read)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			return
		}
		a := one(t, d, s, v)
		if want == "" {
			if a.Err == nil {
				t.Errorf("%s took %s as %s", typ, v, a.Rows.AppendJSON(nil))
			}
			return
		}
		if a.Err != nil {
			t.Errorf("%s of %s: %v", typ, v, a.Err)
			return
		}
		if got, _ := a.Rows.Value(0, 0).AsText(); got != want {
			t.Errorf("%s of %s = %q, want %q", typ, v, got, want)
		}
	}
	f("int", abi.Int(5), "5")
	f("int", abi.Int(1<<40), "")
	f("int", abi.Float(5), "")
	f("int", abi.Text("5"), "")
	f("bigint", abi.Int(-1<<63), "-9223372036854775808")
	f("bigint", abi.Uint(1<<63), "")
	f("boolean", abi.Bool(true), "true")
	f("boolean", abi.Int(1), "")
	f("float8", abi.Float(0.1), "0.1")
	f("float8", abi.Int(3), "3")
	f("numeric", abi.Text("1.500"), "1.500")
	f("numeric", abi.Text("1.5; drop"), "")
	f("numeric", abi.Uint(1<<63), "9223372036854775808")
	f("text", abi.Text(`a"b\c`), `a"b\c`)
	f("text", abi.Text("a\x00b"), "")
	f("text", abi.Int(1), "")
	f("bytea", abi.Bytes([]byte{0, 255}), `\x00ff`)
	f("bytea", abi.Text("AP8="), `\x00ff`)
	f("bytea", abi.Text("?"), "")
	f("uuid", abi.Text("0A0B0C0D-0000-4000-8000-000000000001"), "0a0b0c0d-0000-4000-8000-000000000001")
	f("uuid", abi.Text("x"), "")
	f("timestamptz", abi.Text("2024-01-01T02:00:00.1234567+02:00"), "2024-01-01 00:00:00.123456+00")
	f("timestamptz", abi.Int(1704067200000000), "2024-01-01 00:00:00+00")
	f("timestamptz", abi.Text("2024-01-01T02:00:00"), "")
	f("timestamptz", abi.Text("now"), "") // R7
	f("date", abi.Text("2024-01-31"), "2024-01-31")
	f("date", abi.Text("today"), "") // R7
	f("date", abi.Text("2024-02-31"), "")
	f("timestamp", abi.Text("2024-01-31T10:00:00"), "2024-01-31 10:00:00")
	f("jsonb", abi.Text(`{"a":1}`), `{"a": 1}`)
	f("jsonb", abi.Array(abi.Int(1), abi.Text("x")), `[1, "x"]`)
	f("status", abi.Text("open"), "open")
	f("status", abi.Text("none"), "")
	f("int[]", abi.Array(abi.Int(1), abi.Null()), "{1,NULL}")
	f("int[]", abi.Int(1), "")
	f("int[]", abi.Array(abi.Text("1")), "")
	f("text[]", abi.Array(abi.Text(`a"\b`), abi.Text("null"), abi.Text("")), `{"a\"\\b","null",""}`)
	f("status[]", abi.Array(abi.Text("open")), "{open}")
}
