package abitest

import (
	_ "embed" // testdata
	"strings"
	"testing"

	"weir/abi"
)

//go:embed testdata/manifests.txt
var manifestsText string

// ManifestCase is one manifest of manifests.txt.
type ManifestCase struct {
	Name string
	CBOR []byte
	Want string // part of the sentence that refuses it; "" for a good one
}

// ManifestCases returns the manifests of manifests.txt. A case begins with
// "== NAME", goes on with "want: SENTENCE" if it is bad, and ends with its JSON.
func ManifestCases(t testing.TB) []ManifestCase {
	t.Helper()
	var all []ManifestCase
	for _, section := range strings.Split("\n"+manifestsText, "\n== ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		c := ManifestCase{Name: name}
		if rest, ok := strings.CutPrefix(body, "want: "); ok {
			c.Want, body, _ = strings.Cut(rest, "\n")
		}
		v, err := abi.ParseJSON([]byte(body), 0)
		if err != nil {
			t.Fatalf("manifests.txt: %s: %v", name, err)
		}
		c.CBOR = v.AppendCBOR(nil)
		all = append(all, c)
	}
	return all
}

// Manifests checks how a host loads manifests: load decodes and validates.
func Manifests(t *testing.T, load func(cbor []byte) error) {
	t.Helper()
	for _, c := range ManifestCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			err := load(c.CBOR)
			switch {
			case c.Want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case c.Want != "" && err == nil:
				t.Errorf("got it accepted, want: %s", c.Want)
			case c.Want != "" && !strings.Contains(err.Error(), c.Want):
				t.Errorf("got %v, want: %s", err, c.Want)
			}
		})
	}
}
