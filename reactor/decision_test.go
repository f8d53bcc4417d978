package reactor

import (
	"encoding/json"
	"maps"
	"testing"
)

// F4: unknown is not deny, and is not allow either.
func TestMergeDecisions(t *testing.T) {
	t.Parallel()
	at := func(x uint64) Snapshot { return Snapshot{XMin: x, XMax: x} }
	allow := func(x uint64, scope Scope) Decision { return Decision{Answer: Allow, GoodThrough: at(x), Scope: scope} }
	deny := Decision{Answer: Deny, Policy: "p", Reason: "no"}
	unknown := Decision{}
	f := func(want Answer, scope Scope, good uint64, decisions ...Decision) {
		t.Helper()
		got := MergeDecisions(decisions...)
		if got.Answer != want || want == Allow && (!maps.Equal(got.Scope, scope) || got.GoodThrough.XMax != good) {
			t.Errorf("got %+v, want %s %v through %d", got, want, scope, good)
		}
	}
	f(Unknown, nil, 0)
	f(Allow, nil, 5, allow(5, nil))
	f(Allow, nil, 5, allow(7, nil), allow(5, nil), allow(6, nil))
	f(Deny, nil, 0, allow(5, nil), deny)
	f(Deny, nil, 0, deny, allow(5, nil))
	f(Deny, nil, 0, unknown, deny)
	f(Deny, nil, 0, deny, unknown)
	f(Unknown, nil, 0, unknown, allow(5, nil))
	f(Unknown, nil, 0, allow(5, nil), unknown)
	f(Unknown, nil, 0, allow(5, Scope{"org": "1"}), unknown, allow(5, Scope{"org": "2"}))
	f(Allow, Scope{"org": "1", "team": "2"}, 5, allow(5, Scope{"org": "1"}), allow(5, Scope{"org": "1", "team": "2"}))
	f(Allow, Scope{"org": "1"}, 5, allow(5, nil), allow(5, Scope{"org": "1"}))
	f(Deny, nil, 0, allow(5, Scope{"org": "1"}), allow(5, Scope{"org": "2"}))

	mine := Scope{"org": "1"}
	MergeDecisions(allow(5, mine), allow(5, Scope{"team": "2"}))
	if len(mine) != 1 {
		t.Error("merging changed a decision's scope")
	}
}

// W3: a frame is the whole event; equal content has an equal version whatever
// the group.
func TestFrame(t *testing.T) {
	t.Parallel()
	content := []byte(`"key":["id"],"rows":[]`)
	f, g := NewFrame("q1", content), NewFrame("q2", content)
	if f.Version != g.Version || f.Version != VersionOf(content) {
		t.Error("equal content, other versions")
	}
	content[1] = 'X' // it was copied
	if string(f.Content()) != `"key":["id"],"rows":[]` || f.Size() != len(f.Event()) {
		t.Errorf("content %q", f.Content())
	}
	event := string(f.Event())
	if event[:6] != "data: " || event[len(event)-2:] != "\n\n" {
		t.Fatalf("event %q", event)
	}
	var body struct{ Q, V string }
	if err := json.Unmarshal(f.Event()[6:], &body); err != nil || body.Q != "q1" || body.V != f.Version.String() {
		t.Errorf("event %q: %v", event, err)
	}
	if v, ok := ParseVersion(body.V); !ok || v != f.Version {
		t.Error("the version does not read back")
	}
	for _, text := range []string{"", "x", body.V + "A", body.V[:20]} {
		if _, ok := ParseVersion(text); ok {
			t.Errorf("%q is a version", text)
		}
	}
}
