package serve

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// S9: the encoder of sub events is json.Marshal, faster.
func TestSubEventIsEncodedAsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.Just(""), rapid.Just("\u2028<\xff\"\\"))
		id := []byte(rapid.StringMatching(`-?[1-9][0-9]{0,9}`).Draw(t, "number"))
		if rapid.Bool().Draw(t, "text") {
			var err error
			if id, err = json.Marshal(text.Draw(t, "id")); err != nil {
				t.Fatal(err)
			}
		}
		e := subEvent{
			ID: id, Query: text.Draw(t, "q"), V: text.Draw(t, "v"), Status: text.Draw(t, "status"), Reason: text.Draw(t, "reason"), At: text.Draw(t, "at"),
		}
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		got := string(appendEvent(nil, "sub", e))
		if got != "event: sub\ndata: "+string(want)+"\n\n" || strings.Count(got, "\n") != 3 {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
