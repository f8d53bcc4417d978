package load

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const testPrefix = "weir-bench:00000000:"

// content encodes rows as a server does, and its version.
func content(key string, rows []string) (text, version string) {
	text = `"key":[` + key + `],"rows":[` + strings.Join(rows, ",") + `]`
	sum := sha256.Sum256([]byte(text))
	return text, base64.RawURLEncoding.EncodeToString(sum[:16])
}

func fullEvent(query, key string, rows []string) (event, version string) {
	text, version := content(key, rows)
	return `{"q":"` + query + `","v":"` + version + `",` + text + `}`, version
}

// TestDeltasMakeTheResult: whatever a delta changes, the rows are those of the full
// result, to the byte (L4).
func TestDeltasMakeTheResult(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	c := newStates(testPrefix)
	row := func(id, n int) string { return fmt.Sprintf(`{"id":%d,"n":"%d é\n"}`, id, n) }
	type pair struct{ id, n int }
	list := []pair{{1, 0}, {2, 0}}
	encode := func() (rows []string) {
		for _, p := range list {
			rows = append(rows, row(p.id, p.n))
		}
		return rows
	}
	event, version := fullEvent("q", `"id"`, encode())
	held, err := c.full([]byte(event))
	if err != nil || held.wrong {
		t.Fatal(err, held)
	}
	for step := range 500 {
		before := slices.Clone(list)
		for range r.IntN(4) {
			switch r.IntN(3) {
			case 0:
				list = slices.Insert(list, r.IntN(len(list)+1), pair{step*10 + r.IntN(10) + 100, 0})
			case 1:
				if len(list) > 0 {
					i := r.IntN(len(list))
					list = slices.Delete(list, i, i+1)
				}
			default:
				if len(list) > 0 {
					list[r.IntN(len(list))].n++
				}
			}
		}
		seen := map[int]bool{} // keys are unique in a keyed result
		list = slices.DeleteFunc(list, func(p pair) bool { again := seen[p.id]; seen[p.id] = true; return again })
		var set, del []string
		for i, p := range list {
			if !slices.Contains(before, p) {
				set = append(set, fmt.Sprintf(`[%d,"%d",%s]`, i, p.id, row(p.id, p.n)))
			}
		}
		for _, p := range before {
			if !slices.ContainsFunc(list, func(q pair) bool { return q.id == p.id }) {
				del = append(del, fmt.Sprintf(`"%d"`, p.id))
			}
		}
		_, next := content(`"id"`, encode())
		delta := fmt.Sprintf(`{"q":"q","from":"%s","v":"%s","set":[%s],"del":[%s]}`, version, next, strings.Join(set, ","), strings.Join(del, ","))
		if held, err = c.delta([]byte(delta), held); err != nil || held.wrong {
			t.Fatalf("seed %d, step %d: %v, wrong %v: %s makes %s", seed, step, err, held != nil && held.wrong, delta, held.content)
		}
		version = next
	}
}

// TestDeltaOfAnotherVersionIsRefused: its rows would be nobody's.
func TestDeltaOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	c := newStates(testPrefix)
	event, version := fullEvent("q", `"id"`, []string{`{"id":1}`})
	held, err := c.full([]byte(event))
	if err != nil {
		t.Fatal(err)
	}
	delta := func(query, from string) []byte {
		_, v := content(`"id"`, nil)
		return []byte(`{"q":"` + query + `","from":"` + from + `","v":"` + v + `","set":[],"del":["1"]}`)
	}
	if s, err := c.delta(delta("q", version), held); err != nil || s.wrong {
		t.Errorf("%v", err)
	}
	if _, err := c.delta(delta("q", "AAAAAAAAAAAAAAAAAAAAAA"), held); err == nil {
		t.Error("a delta from another version was taken")
	}
	if _, err := c.delta(delta("q", version), nil); err == nil {
		t.Error("a delta without a result was taken")
	}
	other := *held
	other.version = "AAAAAAAAAAAAAAAAAAAAAA"
	if _, err := c.delta(delta("q", version), &other); err == nil {
		t.Error("a delta that is known was taken for another version")
	}
}

// TestWrongVersionIsSeen (L4).
func TestWrongVersionIsSeen(t *testing.T) {
	t.Parallel()
	event, version := fullEvent("q", `"id"`, []string{`{"id":1}`})
	s, err := newStates(testPrefix).full([]byte(strings.Replace(event, `{"id":1}`, `{"id":2}`, 1)))
	if err != nil || !s.wrong || s.version != version {
		t.Errorf("%v %+v", err, s)
	}
	for _, bad := range []string{"", "{}", `{"q":"a"}`, `{"v":"b","q":"a","rows":[]}`, `[]`, `{"q":"a","v":"b",`} {
		if _, err := newStates(testPrefix).full([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestMarksAreTheNewestOfEachGroup(t *testing.T) {
	t.Parallel()
	b := NewBook(12)
	text := []byte(b.Mark(3, 7, 0) + `","` + b.Mark(11, 2, 60) + b.Mark(3, 9, 40) + "weir-bench:ffffffff0:3:99:" + b.prefix + "x:1:" + b.prefix + "5")
	got := marksOf(b.prefix, text)
	if want := []mark{{3, 9}, {11, 2}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := len(b.Mark(3, 7, 100)); n != 100 {
		t.Errorf("a mark of 100 bytes has %d", n)
	}
}

func TestRowKeysAreThoseOfTheWire(t *testing.T) {
	t.Parallel()
	event, _ := fullEvent("q", `"a","b"`, []string{`{"a":1,"b":"x"}`, `{"a":2,"b":"y"}`})
	s, err := newStates(testPrefix).full([]byte(event))
	if err == nil {
		err = s.split()
	}
	if err != nil || s.rows[0].key != `1,"x"` || s.rows[1].key != `2,"y"` {
		t.Errorf("%v %+v", err, s.rows)
	}
}
