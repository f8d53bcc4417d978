package reactor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// replica is a client's side of deltas: rows as bytes, with their keys.
type replica struct {
	version Version
	columns []string
	keys    []string
	rows    []string
}

type full struct {
	Key  []string
	Rows []json.RawMessage
}

// fill takes a full result. Keys are made as PROTOCOL says for clients: with the
// JSON of JavaScript, which encoding/json writes alike for what is tested here.
func (r *replica) fill(t testing.TB, f *Frame) {
	t.Helper()
	var in full
	if err := json.Unmarshal(slices.Concat([]byte("{"), f.Content(), []byte("}")), &in); err != nil {
		t.Fatalf("%s: %v", f.Content(), err)
	}
	*r = replica{version: f.Version, columns: in.Key}
	for _, row := range in.Rows {
		r.rows = append(r.rows, string(row))
		r.keys = append(r.keys, keyText(t, in.Key, row))
	}
}

// keyText is the text of a row's key.
func keyText(t testing.TB, columns []string, row []byte) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(row, &members); err != nil {
		t.Fatalf("%s: %v", row, err)
	}
	var parts []string
	for _, name := range columns {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(members[name]); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, strings.TrimSpace(out.String()))
	}
	return strings.Join(parts, ",")
}

// apply takes a delta, in the plainest way that PROTOCOL allows.
func (r *replica) apply(t testing.TB, event []byte) {
	t.Helper()
	data, isDelta := strings.CutPrefix(string(event), "event: delta\ndata: ")
	if !isDelta || !strings.HasSuffix(data, "}\n\n") || strings.Count(data, "\n") != 2 {
		t.Fatalf("no event: %q", event)
	}
	var d struct {
		Q, From, V string
		Set        [][3]json.RawMessage
		Del        []string
	}
	if err := json.Unmarshal([]byte(data), &d); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if d.From != r.version.String() {
		t.Fatalf("a delta from %s for a client of %s", d.From, r.version)
	}
	for _, key := range d.Del {
		at := slices.Index(r.keys, key)
		if at < 0 {
			t.Fatalf("%s takes away %s, which is not there", data, key)
		}
		r.keys, r.rows = slices.Delete(r.keys, at, at+1), slices.Delete(r.rows, at, at+1)
	}
	for _, set := range d.Set {
		var index int
		var key string
		if json.Unmarshal(set[0], &index) != nil || json.Unmarshal(set[1], &key) != nil || index > len(r.rows) {
			t.Fatalf("set %s of %d rows", set, len(r.rows))
		}
		if index < len(r.keys) && r.keys[index] == key {
			r.rows[index] = string(set[2])
			continue
		}
		r.keys, r.rows = slices.Insert(r.keys, index, key), slices.Insert(r.rows, index, string(set[2]))
	}
	r.version, _ = ParseVersion(d.V)
}

// content is what the rows would be encoded as.
func (r *replica) content() []byte {
	key, _ := json.Marshal(r.columns)
	return fmt.Appendf(nil, `"key":%s,"rows":[%s]`, key, strings.Join(r.rows, ","))
}

const noLimit = 1 << 40

// after makes the frame of other content that follows a frame somebody wanted.
func after(last *Frame, content string) *Frame {
	last.Want()
	return NextFrame(last, "q", []byte(content), noLimit)
}

// table is content of rows whose keys are these.
func table(ids ...int) string {
	var rows []string
	for _, id := range ids {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"text":"some text that makes the row longer %d"}`, id, id*id))
	}
	return `"key":["id"],"rows":[` + strings.Join(rows, ",") + `]`
}

func TestDeltaOfOneRowHoldsThatRow(t *testing.T) {
	t.Parallel()
	one := NewFrame("q", []byte(table(1, 2, 3, 4, 5, 6)))
	two := after(one, table(9, 1, 2, 3, 4, 5))
	d := two.Delta(one.Version)
	if d == nil {
		t.Fatal("there is no delta")
	}
	if d.From != one.Version || d.To != two.Version || d != two.Delta(one.Version) {
		t.Errorf("from %s to %s; made once: %t", d.From, d.To, d == two.Delta(one.Version))
	}
	want := "event: delta\n" + `data: {"q":"q","from":"` + one.Version.String() + `","v":"` + two.Version.String() +
		`","set":[[0,"9",{"id":9,"text":"some text that makes the row longer 81"}]],"del":["6"]}` + "\n\n"
	if string(d.Event()) != want {
		t.Errorf("got %s\nwant %s", d.Event(), want)
	}
}

// D1: a client that is up to eight versions behind gets one delta, which leads to
// the newest directly; one that is further behind, or holds something else, none.
func TestDeltaReachesEightVersionsBack(t *testing.T) {
	t.Parallel()
	var ids []int
	for i := range 60 {
		ids = append(ids, 100+i)
	}
	frames := []*Frame{NewFrame("q", []byte(table(ids...)))}
	for i := range 10 {
		ids = append([]int{i}, ids[:len(ids)-1]...)
		frames = append(frames, after(frames[i], table(ids...)))
	}
	newest := frames[10]
	for back := 1; back <= 10; back++ {
		from := frames[10-back]
		d := newest.Delta(from.Version)
		if (d != nil) != (back <= deltaRing) {
			t.Errorf("%d versions back: %v", back, d != nil)
		}
		if d == nil {
			continue
		}
		var r replica
		r.fill(t, from)
		r.apply(t, d.Event())
		if string(r.content()) != string(newest.Content()) {
			t.Errorf("%d versions back:\n got %s\nwant %s", back, r.content(), newest.Content())
		}
	}
	if newest.Delta(newest.Version) != nil || newest.Delta(Version{1}) != nil {
		t.Error("a delta from what no client can hold")
	}
}

// W5: a row that came and went in between may have been somebody else's.
// Cases: 90.
func TestDeltaShowsNothingOfVersionsBetween(t *testing.T) {
	t.Parallel()
	one := NewFrame("q", []byte(table(1, 2, 3, 4, 5, 6)))
	two := after(one, table(777, 1, 2, 3, 4, 5, 6))
	three := after(two, table(8, 1, 2, 3, 4, 5, 6))
	d := three.Delta(one.Version)
	if d == nil || strings.Contains(string(d.Event()), "777") {
		t.Errorf("got %s", d.Event())
	}
}

func TestThereIsNoDelta(t *testing.T) {
	t.Parallel()
	long := `,"text":"` + strings.Repeat("x", 300) + `"}`
	content := func(key string, rows ...string) string {
		return `"key":` + key + `,"rows":[` + strings.Join(rows, long+",") + long + `]`
	}
	f := func(name, one, two string, want bool) {
		t.Helper()
		first := NewFrame("q", []byte(one))
		second := after(first, two)
		if got := second.Delta(first.Version) != nil; got != want {
			t.Errorf("%s: a delta %t, want %t", name, got, want)
		}
		// And back again, so that both sides are tried.
		third := after(NewFrame("q", []byte(two)), one)
		if got := third.Delta(second.Version) != nil; got != want {
			t.Errorf("%s, back: a delta %t, want %t", name, got, want)
		}
	}
	id := func(key string, values ...string) string {
		var rows []string
		for _, v := range values {
			rows = append(rows, `{"id":`+v)
		}
		return content(key, rows...)
	}
	const key = `["id"]`
	f("plain", id(key, "1", "2", "3"), id(key, "1", "2"), true)
	f("without a key", strings.TrimPrefix(id(key, "1", "2", "3"), `"key":["id"],`), strings.TrimPrefix(id(key, "1", "2"), `"key":["id"],`), false)
	f("duplicate keys before", id(key, "1", "2", "2"), id(key, "1", "2"), false)
	f("null in the key", id(key, "1", "2", "null"), id(key, "1", "2"), false)
	f("past 2^53", id(key, "9007199254740993", "2", "3"), id(key, "9007199254740993", "3"), true)
	f("made equal by JavaScript", id(key, "9007199254740993", "9007199254740992", "3"), id(key, "9007199254740993", "3"), false)
	f("exponents", id(key, "1e-7", "2", "3"), id(key, "2", "3"), false)
	f("text", id(key, `"a"`, `"b\"\\\n"`, `"ü"`), id(key, `"a"`, `"b\"\\\n"`), true)
	f("separators", id(key, `"a"`, `"\u2028"`, `"c"`), id(key, `"a"`, `"c"`), false)
	f("a document", id(key, `{"a":1}`, `2`, `3`), id(key, `2`, `3`), false)
	f("no such column", id(`["no"]`, "1", "2", "3"), id(`["no"]`, "1", "2"), false)
	f("another key", id(key, "1", "2", "3"), strings.Replace(id(key, "1", "2"), key, `["id","id"]`, 1), false)
	f("composite", id(`["id","text"]`, "1", "2", "3", "4", "5"), id(`["id","text"]`, "1", "3", "4", "5"), true)
	f("mostly changed", table(1, 2, 3, 4), table(1, 2, 7, 8, 9), false)
	f("to nothing and back", `"key":["id"],"rows":[]`, table(1, 2), false)
	f("a value", `"value":[1,2,3]`, `"value":[1,2]`, false)
}

// Composite keys cannot be taken for others: ("a,b", "c") is not ("a", "b,c").
func TestKeyTextsAreUnambiguous(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, values := range [][]string{
		{`"a,b"`, `"c"`}, {`"a"`, `"b,c"`}, {`"a\",\"b"`, `"c"`}, {`"a"`, `"b"`, `"c"`}, {`"1"`}, {`1`}, {`"true"`}, {`true`}, {`1`, `2`}, {`12`}, {`"1,2"`},
	} {
		var raw [][]byte
		for _, v := range values {
			raw = append(raw, []byte(v))
		}
		text, ok := appendKey(nil, raw)
		if other, is := seen[string(text)]; is || !ok {
			t.Errorf("%v has the text %s, as %s", values, text, other)
		}
		seen[string(text)] = fmt.Sprint(values)
	}
}

// What deltas cost is bounded by the group's cached bytes, and nobody pays who
// does not want them.
func TestDeltasAreBounded(t *testing.T) {
	t.Parallel()
	var ids []int
	for i := range 200 {
		ids = append(ids, i)
	}
	chain := func(want bool, limit int64) (frames []*Frame) {
		frames = []*Frame{NewFrame("q", []byte(table(ids...)))}
		for i := range 12 {
			if want {
				frames[i].Want()
			}
			frames = append(frames, NextFrame(frames[i], "q", []byte(table(ids[i+1:]...)), limit))
		}
		return frames
	}
	size := func(f *Frame) (n int64) {
		n = int64(f.Size())
		for _, r := range f.history.before {
			n += int64(r.size())
		}
		for _, d := range f.history.deltas {
			n += int64(len(d.data))
		}
		return n
	}
	for _, limit := range []int64{0, 20 << 10, 25 << 10, noLimit} {
		frames := chain(true, limit)
		newest := frames[12]
		for _, f := range frames {
			newest.Delta(f.Version)
		}
		if got := size(newest); got > max(limit, int64(newest.Size())) || got > int64(newest.Size())+max(2*int64(newest.Size()), deltaBytes) {
			t.Errorf("limit %d: a frame of %d bytes holds %d", limit, newest.Size(), got)
		}
		if n := len(newest.history.before); n > deltaRing || limit == noLimit && n == 0 || limit == 0 && n > 0 {
			t.Errorf("limit %d: %d versions", limit, n)
		}
	}
	frames := chain(false, noLimit)
	if f := frames[12]; f.history.rows != nil || len(f.history.before) > 0 {
		t.Error("frames that nobody wants deltas of keep their rows")
	}
	// Want lasts for the frames that a slow client skips, and no longer.
	frames[0].Want()
	last := frames[0]
	for i := range deltaRing + 2 {
		last = NextFrame(last, "q", []byte(table(ids[i+1:]...)), noLimit)
		if got := last.history.rows != nil; got != (i < deltaRing) {
			t.Errorf("frame %d after the last one that was wanted: keeps its rows %t", i+1, got)
		}
	}
}

// drawRows draws the next result: rows come, go, change and move; keys repeat or
// are null at times.
func drawRows(rng *rand.Rand, rows []string, composite bool) []string {
	draw := func() string {
		id := fmt.Sprint(rng.IntN(2000))
		switch rng.IntN(40) {
		case 0:
			id = "null"
		case 1:
			id = fmt.Sprint(uint64(1)<<53 + uint64(rng.IntN(6)))
		case 2, 3, 4, 5:
			id = []string{`"a"`, `"a,b"`, `"b\"\\"`, `"ü€"`, `"\u2028"`, `true`, `-7`, `1.5`, `""`}[rng.IntN(9)]
		}
		other := ""
		if composite {
			other = fmt.Sprintf(`"b":%s,`, []string{`"x"`, `"x,1"`, "1", "2"}[rng.IntN(4)])
		}
		return fmt.Sprintf(`{"id":%s,%s"n":%d,"deep":[{"id":%d,"s":"}],\"{"}]}`, id, other, rng.IntN(3), rng.IntN(3))
	}
	rows = slices.Clone(rows)
	if rng.IntN(40) == 0 {
		rows = nil
	}
	if rng.IntN(4) == 0 { // what has no delta does not stay for ever
		rows = slices.DeleteFunc(rows, func(row string) bool { return !strings.HasPrefix(row, `{"id":1`) })
	}
	for range rng.IntN(4) {
		at := rng.IntN(len(rows) + 1)
		switch op := rng.IntN(10); {
		case op < 4 || len(rows) == 0:
			rows = slices.Insert(rows, at, draw())
		case op < 6:
			at %= len(rows)
			rows = slices.Delete(rows, at, at+1)
		case op < 8:
			at %= len(rows)
			rows[at] = strings.Replace(rows[at], `"n":`, fmt.Sprintf(`"n":%d`, 1+rng.IntN(9)), 1)
		case op < 9:
			row := rows[at%len(rows)]
			rows = slices.Delete(rows, at%len(rows), at%len(rows)+1)
			rows = slices.Insert(rows, rng.IntN(len(rows)+1), row)
		default:
			from := at % len(rows)
			to := min(len(rows), from+rng.IntN(5))
			slices.Reverse(rows[from:to])
		}
	}
	return rows
}

// Any sequence of results, taken by clients that skip some of them, ends at the
// result byte for byte, and at its version.
// Cases: 90.
func TestDeltasLeadToTheResult(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 3))
	deltas, fulls := 0, 0
	for round := range 120 {
		key, composite := `["id"]`, round%2 == 1
		if composite {
			key = `["id","b"]`
		}
		var rows []string
		for i := range 5 + rng.IntN(30) {
			rows = append(rows, fmt.Sprintf(`{"id":%d,"b":"x","n":0,"deep":[]}`, 1000+i))
		}
		content := func() []byte { return fmt.Appendf(nil, `"key":%s,"rows":[%s]`, key, strings.Join(rows, ",")) }
		frame := NewFrame("q", content())
		clients := make([]replica, 3)
		for range 40 {
			for i := range clients {
				c := &clients[i]
				if i > 0 && rng.IntN(i*3) != 0 {
					continue // slow
				}
				frame.Want()
				if c.version == frame.Version {
					continue
				}
				if d := frame.Delta(c.version); d != nil {
					deltas++
					c.apply(t, d.Event())
					if 2*len(d.Event()) >= frame.Size() {
						t.Fatalf("seed %d: a delta of %d bytes to a result of %d", seed, len(d.Event()), frame.Size())
					}
				} else {
					fulls++
					c.fill(t, frame)
				}
				if got := c.content(); string(got) != string(frame.Content()) || VersionOf(got) != c.version {
					t.Fatalf("seed %d:\n got %s\nwant %s", seed, got, frame.Content())
				}
			}
			rows = drawRows(rng, rows, composite)
			if c := content(); string(c) != string(frame.Content()) {
				frame = NextFrame(frame, "q", c, noLimit)
			}
		}
	}
	if deltas < fulls/4 {
		t.Errorf("seed %d: %d deltas beside %d full results say little", seed, deltas, fulls)
	}
	t.Logf("seed %d: %d deltas, %d full results", seed, deltas, fulls)
}

// FuzzDelta: whatever the rows are, a delta leads from the one result to the other.
// Cases: 90.
func FuzzDelta(f *testing.F) {
	f.Add([]byte(`[{"id":1},{"id":2},{"id":3,"text":"long enough to be worth a delta"}]`), []byte(`[{"id":2},{"id":1},{"id":3,"text":"long enough to be worth a delta"}]`))
	f.Add([]byte(`[{"id":1,"b":[1,"]"]},{"id":null}]`), []byte(`[{"id":"1"},{"id":9007199254740993}]`))
	f.Add([]byte(`[{"id":"a\"b"},{"id":"\u2028"}]`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var frames [2]*Frame
		for i, text := range [][]byte{one, two} {
			readRows(append([]byte(`"key":["id"],"rows":`), text...), Version{}) // whatever it is
			var list []map[string]any
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.UseNumber()
			if dec.Decode(&list) != nil || dec.More() {
				return
			}
			for _, row := range list {
				if row == nil {
					return
				}
			}
			if list == nil {
				list = []map[string]any{}
			}
			rows, err := json.Marshal(list)
			if err != nil {
				return
			}
			content := append([]byte(`"key":["id"],"rows":`), rows...)
			if i == 0 {
				frames[0] = NewFrame("q", content)
				frames[0].Want()
			} else {
				frames[1] = NextFrame(frames[0], "q", content, noLimit)
			}
		}
		if d := frames[1].Delta(frames[0].Version); d != nil {
			var r replica
			r.fill(t, frames[0])
			r.apply(t, d.Event())
			if string(r.content()) != string(frames[1].Content()) {
				t.Fatalf("got %s\nwant %s", r.content(), frames[1].Content())
			}
		}
	})
}

func BenchmarkDelta(b *testing.B) {
	for _, n := range []int{50, 1000, 10_000} {
		var ids []int
		for i := range n {
			ids = append(ids, i)
		}
		one, two := table(ids...), strings.Replace(table(ids...), `{"id":7,"text":"some`, `{"id":7,"text":"other`, 1)
		frames := [2][]byte{[]byte(one), []byte(two)}
		b.Run(fmt.Sprintf("rows=%d/full", n), func(b *testing.B) {
			b.ReportAllocs()
			last := NewFrame("q", frames[0])
			for i := 1; b.Loop(); i++ {
				last = NextFrame(last, "q", frames[i%2], noLimit)
			}
		})
		b.Run(fmt.Sprintf("rows=%d/delta", n), func(b *testing.B) {
			b.ReportAllocs()
			last := NewFrame("q", frames[0])
			for i := 1; b.Loop(); i++ {
				last.Want()
				last = NextFrame(last, "q", frames[i%2], noLimit)
			}
			b.ReportMetric(float64(len(last.history.deltas[0].data)), "delta-B")
			b.ReportMetric(float64(last.Size()), "full-B")
		})
	}
}
