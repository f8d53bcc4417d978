package abi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"weir/abi"
)

// Cases: 69, 80.
func TestJSONRefusals(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		_, err := abi.ParseJSON([]byte(text), 0)
		var e *abi.JSONError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
	f(``, "the text ends where a value is wanted")
	f(`{"a":1,"a":2}`, `the object has the key "a" twice`)
	f(`{"a":1,"\u0061":2}`, `the object has the key "a" twice`)
	f(`[{"b":{"x":1,"y":2,"x":3}}]`, `the object has the key "x" twice`)
	f(`1 2`, "more text after the end")
	f(`{}x`, "more text after the end")
	f("\"\xff\"", "not valid UTF-8")
	f("\"a\\n\xed\xa0\x80\"", "not valid UTF-8")
	f(`"\ud800"`, "half of a surrogate pair")
	f(`"\ud800\ud800"`, "half of a surrogate pair")
	f(`"\udc00\ud800"`, "half of a surrogate pair")
	f(`"\ud800x"`, "half of a surrogate pair")
	f(`"\u12g4"`, "four hexadecimal digits")
	f(`"\x"`, "an unknown escape")
	f("\"a\nb\"", "a control character")
	f(`"a`, "no closing quote")
	f(`"a\`, "an unknown escape")
	f(`01`, "must not begin with 0")
	f(`-`, "want a digit")
	f(`+1`, "want a value")
	f(`.5`, "want a value")
	f(`1.`, "want a digit after the point")
	f(`1e`, "want a digit in the exponent")
	f(`1e999`, "the number is too large")
	f(`NaN`, "want a value")
	f(`[1,]`, "want a value")
	f(`[1 2]`, "want a comma")
	f(`{"a":1,}`, "want a key in quotes")
	f(`{a:1}`, "want a key in quotes")
	f(`{"a" 1}`, "want a colon")
	f(`nul`, "want a value")
	f("\ufeff1", "want a value")
	f(strings.Repeat("[", 33)+strings.Repeat("]", 33), "nested too deeply")
	f(strings.Repeat("[", 1<<20), "nested too deeply")
	f(strings.Repeat(`{"a":`, 33)+"1"+strings.Repeat("}", 33), "nested too deeply")
	if _, err := abi.ParseJSON([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), 0); err != nil {
		t.Errorf("depth 32: %v", err)
	}
}

func TestJSONNumbersKeepWhatTheySay(t *testing.T) {
	t.Parallel()
	f := func(text string, want abi.Value) {
		t.Helper()
		got := mustJSON(t, text)
		if !got.Equal(want) {
			t.Errorf("%s is %v (%v), want %v (%v)", text, got, got.Type(), want, want.Type())
		}
		if got.String() != text && text != "-0" {
			t.Errorf("%s is written as %v", text, got)
		}
	}
	f("0", abi.Int(0))
	f("-0", abi.Int(0))
	f("9007199254740993", abi.Int(1<<53+1))
	f("9223372036854775807", abi.Int(1<<63-1))
	f("-9223372036854775808", abi.Int(-1<<63))
	f("18446744073709551615", abi.Uint(1<<64-1))
	f("18446744073709551616", abi.Float(1<<64))
	f("1.0", abi.Float(1))
	f("1e2", abi.Float(100))
	f("0.10000000000000000001", abi.Float(0.1)) // the spelling is kept for JSON fields
	f("1.5", abi.Float(1.5))
}

// FuzzJSON checks against encoding/json: what we accept it accepts with the same
// content, and what we write comes back.
// Cases: 69, 80.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,1.0,"x",null,true]}`, `"\ud83d\ude00\n\u2028"`, `-1.5e-7`, `18446744073709551616`, `{"a":1,"a":2}`, "[[[[1]]]]", `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := abi.ParseJSON(data, 0)
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var want, got any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: accepted, but encoding/json says %v", data, err)
		}
		out := v.AppendJSON(nil)
		if !json.Valid(out) || bytes.ContainsAny(out, "\n\r\x00") {
			t.Fatalf("%q: written as %q", data, out)
		}
		dec = json.NewDecoder(bytes.NewReader(out))
		dec.UseNumber()
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(normal(want))
		b, _ := json.Marshal(normal(got))
		if !bytes.Equal(a, b) {
			t.Fatalf("%q: written as %q", data, out)
		}
		again, err := abi.ParseJSON(out, 0)
		if err != nil || !again.Equal(v) {
			t.Fatalf("%q: comes back as %v, %v", data, again, err)
		}
		if back, err := abi.DecodeCBOR(v.AppendCBOR(nil)); err != nil || !back.Equal(v) {
			t.Fatalf("%q: through CBOR it is %v, %v", data, back, err)
		}
	})
}

// normal turns "-0", which is an integer and has no sign, into "0".
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	}
	return v
}

// FuzzBase64 checks ours, which needs no reflection, against the library's.
func FuzzBase64(f *testing.F) {
	f.Add("AQI=")
	f.Add("AQ==")
	f.Add("AR==")
	f.Add("A===")
	f.Add("====")
	schema := abi.Schema{Type: "string", Format: "bytes"}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := base64.StdEncoding.Strict().DecodeString(text)
		if strings.ContainsAny(text, "\r\n") {
			err = errors.New("the library skips line breaks")
		}
		got, ourErr := schema.Check(abi.Text(text))
		if (err == nil) != (ourErr == nil) {
			t.Fatalf("%q: we say %v, the library %v", text, ourErr, err)
		}
		if err != nil {
			return
		}
		if !got.Equal(abi.Bytes(want)) {
			t.Fatalf("%q: got %v, want %x", text, got, want)
		}
		if got.String() != `"`+text+`"` {
			t.Fatalf("%q: written as %s", text, got)
		}
	})
}

// Cases: 30.
func TestJSONTextNeverBreaksALine(t *testing.T) {
	t.Parallel()
	got := string(abi.AppendJSONText(nil, "a\n\r\t\x00\x1f\"\\\x7f\xff\u2028ü"))
	if want := `"a\n\r\t\u0000\u001f\"\\` + "\x7f\ufffd\u2028ü" + `"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
