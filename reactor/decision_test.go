package reactor

import (
	"encoding/json"
	"maps"
	"testing"
)

// F4: unknown is not deny, and is not allow either.
func TestMergeDecisions(t *testing.T) {
	t.Parallel()
	allow := func(scope Scope) Decision { return Decision{Answer: Allow, Scope: scope} }
	deny := Decision{Answer: Deny, Policy: "p", Reason: "no"}
	unknown := Decision{}
	f := func(want Answer, scope Scope, decisions ...Decision) {
		t.Helper()
		got := MergeDecisions(decisions...)
		if got.Answer != want || want == Allow && !maps.Equal(got.Scope, scope) {
			t.Errorf("got %+v, want %s %v", got, want, scope)
		}
	}
	f(Unknown, nil)
	f(Allow, nil, allow(nil))
	f(Deny, nil, allow(nil), deny)
	f(Deny, nil, deny, allow(nil))
	f(Deny, nil, unknown, deny)
	f(Deny, nil, deny, unknown)
	f(Unknown, nil, unknown, allow(nil))
	f(Unknown, nil, allow(nil), unknown)
	f(Unknown, nil, allow(Scope{"org": "1"}), unknown, allow(Scope{"org": "2"}))
	f(Allow, Scope{"org": "1", "team": "2"}, allow(Scope{"org": "1"}), allow(Scope{"org": "1", "team": "2"}))
	f(Allow, Scope{"org": "1"}, allow(nil), allow(Scope{"org": "1"}))
	f(Deny, nil, allow(Scope{"org": "1"}), allow(Scope{"org": "2"}))

	mine := Scope{"org": "1"}
	MergeDecisions(allow(mine), allow(Scope{"team": "2"}))
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
