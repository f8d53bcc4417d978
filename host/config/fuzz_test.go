package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzParse: no text makes Parse panic or hang; an error names its place and is
// one sentence; what is taken can be dumped, read again, and shows no secret.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(full))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("weir.toml", []byte(text), getenv)
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("not Errors: %v", err)
			}
			for _, one := range all {
				if one.Text == "" || one.Line < 0 || one.Line > strings.Count(text, "\n")+1 {
					t.Errorf("bad error %+v", one)
				}
			}
			return
		}
		var first, second bytes.Buffer
		if err := c.Dump(&first); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(first.String(), "canary") && !strings.Contains(text, "canary") {
			t.Errorf("K4: the dump shows a secret:\n%s", &first)
		}
		if strings.Contains(first.String(), stars) {
			return // a secret does not come back
		}
		again, err := Parse("weir.toml", first.Bytes(), getenv)
		if err != nil {
			t.Fatalf("the dump is not read: %v\n%s", err, &first)
		}
		if err := again.Dump(&second); err != nil {
			t.Fatal(err)
		}
		strip := strings.NewReplacer(" # set\n", "\n", " # default\n", "\n", " # from limits\n", "\n")
		if a, b := strip.Replace(first.String()), strip.Replace(second.String()); a != b {
			t.Errorf("first:\n%s\nagain:\n%s", a, b)
		}
	})
}
