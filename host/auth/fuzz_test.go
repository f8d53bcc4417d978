package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzVerify: no token makes Verify panic, and none is taken but with a good
// signature. signed says whether the text is a token, or a payload that the fuzz
// target signs itself, so that the fuzzer gets past the signature.
// Cases: 59, 60.
func FuzzVerify(f *testing.F) {
	f.Add("", false)
	f.Fuzz(func(t *testing.T, text string, signed bool) {
		token := text
		if signed {
			token = hs(text)
		}
		v, err := New(context.Background(), Config{Keys: staticKeys(), Now: func() time.Time { return now }, Claims: map[string]string{"roles": "a.b"}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		c, err := v.Verify(context.Background(), token)
		switch {
		case err == nil && !signed:
			t.Errorf("taken without our signature: %q", text)
		case err == nil:
			if c.Principal.Issuer != "https://id" || c.Principal.Subject == "" || !c.Expires.After(now) {
				t.Errorf("caller %+v", c)
			}
			sameAsLibrary(t, text, c)
		case !errors.Is(err, ErrUnauthenticated):
			t.Errorf("error %v", err)
		}
	})
}

// sameAsLibrary: another reader of the payload sees the same user.
func sameAsLibrary(t *testing.T, payload string, c *Caller) {
	t.Helper()
	var other map[string]any
	d := json.NewDecoder(strings.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&other); err != nil {
		t.Fatalf("the library refuses %q: %v", payload, err)
	}
	if other["sub"] != any(c.Principal.Subject) || other["iss"] != any(c.Principal.Issuer) {
		t.Errorf("read as %v by the library, as %+v here", other, c.Principal)
	}
}

// FuzzParseObject: what the strict parser takes, the library reads as the same
// value, every digit of an integer included.
// Cases: 60.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,"x",null,true,{"b":{}}],"é":"é"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseObject(data)
		if err != nil {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("the library refuses %q: %v", data, err)
		}
		if !sameValue(got, want) {
			t.Errorf("%q is %v here, %v for the library", data, got, want)
		}
	})
}

// sameValue compares a value of ours with one that has json.Number in it.
func sameValue(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		return ok && maps.EqualFunc(g, w, sameValue)
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, w, sameValue)
	case json.Number:
		if n, ok := got.(int64); ok {
			return fmt.Sprint(n) == w.String() || n == 0 && w == "-0"
		}
		f, err := w.Float64()
		return err == nil && got == any(f)
	}
	return got == want
}
