package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/wasm/wasmtest"
)

// W8: what others wrote, into rows, names of columns and manifests, moves no cursor:
// no command prints a control character of theirs, also where JSON lets one stand.
// Cases: 77.
func TestTextOfOthersDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	const evil = "a\u009b2Jb\u007f\u0085c\u2028d" // the first is ESC [ in one character
	inJSON := `"` + evil + `\u001b[31m"`
	server := fakeWeir(t, func(w http.ResponseWriter, r *http.Request) {
		rows := `{"rows":[{` + inJSON + `:` + inJSON + `}]}`
		if r.Header.Get("Accept") == "text/event-stream" {
			rows = "data: " + rows + "\n\n"
		}
		fmt.Fprint(w, rows)
	})
	harmless := func(what, out string) {
		t.Helper()
		out = strings.NewReplacer("\x1b[H\x1b[J\x1b[?7l", "", "\x1b[?7h", "").Replace(out) // weir's own
		if strings.ContainsAny(out, "\x1b\u007f\u0085\u009b\u2028") {
			t.Errorf("%s prints %q", what, out)
		}
	}
	out := weir(t, t.TempDir(), "call", "list", "--url", server.URL).must(t)
	harmless("call", out)
	var answer struct{ Rows []map[string]string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Rows[0][evil+"\x1b[31m"] != evil+"\x1b[31m" {
		t.Errorf("call prints another value: %v, %q", err, out)
	}
	for _, terminal := range []bool{false, true} {
		m := &Main{Dir: t.TempDir(), Args: []string{"watch", "list", "-n", "1", "--url", server.URL}, Terminal: terminal}
		harmless(fmt.Sprintf("watch, on a terminal: %v", terminal), weirWith(t, m).must(t))
	}
	dir := t.TempDir()
	m := abi.Manifest{ABI: abi.Version, Name: "notes", Version: "1" + evil, Functions: []abi.Function{{
		Name: "a.b", Kind: abi.Query, Access: abi.Access{SignedIn: true},
		Fields: []abi.Field{{Name: "x", Schema: abi.Schema{Type: "string", Format: "f" + evil}}},
	}}}
	write(t, filepath.Join(dir, "notes.wasm"), string(wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()))
	o := weir(t, dir, "inspect", "notes.wasm")
	harmless("inspect", o.out+o.errors)
	if !strings.Contains(o.out+o.errors, "notes") {
		t.Errorf("inspect says %q", o.out+o.errors)
	}
}
