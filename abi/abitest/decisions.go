package abitest

import (
	_ "embed" // testdata
	"strings"
	"testing"

	"weir/abi"
)

//go:embed testdata/decisions.txt
var decisionsText string

// Decisions checks how a host reads what a policy returned. What is refused must
// allow nothing, so decode returns whether it allows beside its error.
func Decisions(t *testing.T, decode func(cbor []byte) (allow bool, err error)) {
	t.Helper()
	n := 0
	for line := range strings.Lines(decisionsText) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		kind, text, _ := strings.Cut(line, " ")
		text, why, _ := strings.Cut(text, " // ")
		v, err := abi.ParseJSON([]byte(text), 0)
		if err != nil {
			t.Fatalf("decisions.txt:%d: %v", n, err)
		}
		want, _ := v.Get("allow")
		allowed, _ := want.AsBool()
		switch allow, err := decode(v.AppendCBOR(nil)); {
		case kind == "good" && (err != nil || allow != allowed):
			t.Errorf("decisions.txt:%d: got %v, %v, want %v", n, allow, err, allowed)
		case kind == "bad" && (err == nil || allow):
			t.Errorf("decisions.txt:%d: got %v, %v, want it refused: %s", n, allow, err, why)
		}
	}
}
