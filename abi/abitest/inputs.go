package abitest

import (
	"bytes"
	_ "embed" // testdata
	"strings"
	"testing"

	"weir/abi"
)

//go:embed testdata/inputs.txt
var inputsText string

// Inputs checks how a host makes inputs. make gets a function, what the client
// sent, and a map of claims, scope, action and function.
func Inputs(t *testing.T, make func(f *abi.Function, args, caller abi.Value) ([]byte, error)) {
	t.Helper()
	for _, section := range strings.Split(inputsText, "\n== ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		t.Run(name, func(t *testing.T) {
			lines := map[string]string{}
			for line := range strings.Lines(body) {
				if key, rest, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
					lines[key] = rest
				}
			}
			value := func(key string) abi.Value {
				if lines[key] == "" {
					return abi.Map(nil, nil)
				}
				v, err := abi.ParseJSON([]byte(lines[key]), 0)
				if err != nil {
					t.Fatalf("inputs.txt: %s: %v", key, err)
				}
				return v
			}
			got, err := make(functionOf(t, value("function")), value("args"), value("caller"))
			if refused := lines["refused"]; refused != "" {
				if err == nil || !strings.Contains(err.Error(), refused) {
					t.Errorf("got %x, %v, want it refused: %s", got, err, refused)
				}
				return
			}
			if want := withBytes(value("want")).AppendCBOR(nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %x, %v, want %x", got, err, want)
			}
		})
	}
}

// functionOf decodes a function by its keys in a manifest.
func functionOf(t *testing.T, v abi.Value) *abi.Function {
	t.Helper()
	keys, values := []string{"name"}, []abi.Value{abi.Text("f")}
	for i := range v.Len() {
		keys, values = append(keys, v.Key(i)), append(values, v.At(i))
	}
	m, err := abi.DecodeManifest(abi.Map([]string{"abi", "name", "functions"},
		[]abi.Value{abi.Int(abi.Version), abi.Text("kit"), abi.Array(abi.Map(keys, values))}).AppendCBOR(nil))
	if err != nil {
		t.Fatalf("inputs.txt: %v", err)
	}
	return &m.Functions[0]
}
