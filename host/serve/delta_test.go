package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/reactor"
)

// list is a result of rows with these ids, each long enough to be worth a delta.
func list(ids ...int) string {
	var rows []string
	for _, id := range ids {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"text":"%s"}`, id, strings.Repeat("x", 100)))
	}
	return `"key":["id"],"rows":[` + strings.Join(rows, ",") + `]`
}

// A stream gets deltas if it asks for them, and else whole results.
func TestDeltasAreForThoseWhoAsk(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.set("rooms.list", list(1, 2, 3, 4, 5))
		const subs = `{"subs":[{"id":1,"q":"rooms.list"}]}`
		with, without := f.stream(http.MethodPost, "/v1/stream?delta=1", subs), f.stream(http.MethodPost, "/v1/stream", subs)
		one, plain := f.stream(http.MethodGet, "/v1/q/rooms.list?delta=1", ""), f.stream(http.MethodGet, "/v1/q/rooms.list?delta=0", "")
		first := with.expect("sub", "message")[1]
		for _, s := range []*stream{without, one, plain} {
			s.expect("sub", "message")
		}
		f.backend.set("rooms.list", list(0, 1, 2, 3, 5))
		e := with.expect("sub", "delta")
		d := e[1]
		if d.field("q") != e[0].field("q") || d.field("from") != first.field("v") || d.field("v") != e[0].field("v") || d.field("del") != `["4"]` ||
			!strings.HasPrefix(d.field("set"), `[[0,"0",{"id":0,`) || strings.Count(d.field("set"), "text") != 1 {
			t.Errorf("a delta %s", d)
		}
		if d := one.expect("sub", "delta")[1]; !strings.HasPrefix(d.id, d.field("v")+"~") {
			t.Errorf("a delta with the id %q", d.id)
		}
		without.expect("sub", "message")
		plain.expect("sub", "message")

		// What cannot be said shorter is said whole.
		f.backend.set("rooms.list", list(7, 8, 9))
		with.expect("sub", "message")
		// A change of the status alone brings no rows, as ever.
		f.backend.fail("rooms.list", fmt.Errorf("broken"))
		if e := with.expect("sub")[0]; e.field("status") != "stale" {
			t.Errorf("after a failure: %s", e)
		}
		f.backend.set("rooms.list", list(7, 8, 9, 10))
		with.expect("sub", "delta")
		if st := f.server.Stats(); st.Deltas < 3 || st.Frames <= st.Deltas {
			t.Errorf("%d deltas of %d results", st.Deltas, st.Frames)
		}
		if r := f.do(http.MethodPost, "/v1/stream?delta=yes", subs); r.status != http.StatusBadRequest {
			t.Errorf("delta=yes: %d %s", r.status, r.body)
		}
	})
}

// D1: a client that comes back with a version of before gets what is new in it, if
// that version is known; one delta is for all subscriptions of the query, so that
// all of them must hold it.
// Cases: 90.
func TestDeltaLeadsFromWhatTheClientHolds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.set("rooms.list", list(1, 2, 3, 4, 5, 6, 7, 8))
	watcher := f.stream(http.MethodPost, "/v1/stream?delta=1", `{"subs":[{"id":1,"q":"rooms.list"}]}`)
	var versions []string
	versions = append(versions, watcher.expect("sub", "message")[0].field("v"))
	for i := range 3 {
		f.backend.set("rooms.list", list(10+i, 1, 2, 3, 4, 5, 6, 7, 8))
		versions = append(versions, watcher.expect("sub", "delta")[0].field("v"))
	}
	open := func(subs ...string) *stream {
		return f.stream(http.MethodPost, "/v1/stream?delta=1", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	}
	sub := func(id int, have string) string {
		return fmt.Sprintf(`{"id":%d,"q":"rooms.list","have":%q}`, id, have)
	}
	if e := open(sub(1, versions[0])).expect("sub", "delta")[1]; e.field("from") != versions[0] || e.field("v") != versions[3] || strings.Contains(e.data, `"id":10,`) {
		t.Errorf("three versions behind: %s", e)
	}
	if e := open(sub(1, versions[3])).expect("sub")[0]; e.field("status") != "unchanged" {
		t.Errorf("nothing behind: %s", e)
	}
	open(sub(1, reactor.Version{1}.String())).expect("sub", "message")
	open(`{"id":1,"q":"rooms.list"}`).expect("sub", "message")
	open(sub(1, versions[1]), sub(2, versions[2])).expect("sub", "sub", "message")
	open(sub(1, versions[1]), `{"id":2,"q":"rooms.list"}`).expect("sub", "sub", "message")
	open(sub(1, versions[1]), sub(2, versions[1])).expect("sub", "sub", "delta")
	open(sub(1, versions[1]), sub(2, versions[3])).expect("sub", "sub", "delta")
}

// W5: who was denied holds nothing. What comes back is whole, also when the rows
// are those of before but for one.
// Cases: 90.
func TestDeltaIsNotForWhoWasDenied(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", allow)
	f.backend.set("rooms.list", list(1, 2, 3, 4, 5))
	s := f.stream(http.MethodPost, "/v1/stream?delta=1", `{"subs":[{"id":1,"q":"rooms.list"}]}`)
	s.expect("sub", "message")
	f.backend.set("rooms.list", list(1, 2, 3, 4, 5, 6))
	s.expect("sub", "delta")
	f.backend.decide("rooms.list", deny)
	s.expect("sub")
	f.backend.set("rooms.list", list(1, 2, 3, 4, 5, 6, 7))
	f.backend.decide("rooms.list", allow)
	s.expect("sub", "message")
	f.backend.set("rooms.list", list(1, 2, 3, 4, 5, 6, 7, 8))
	s.expect("sub", "delta")
}

// redraw draws the next rows: they come, go, change and move, and now and then a
// key repeats, is null, or is more than JavaScript can count.
func redraw(rng *rand.Rand, rows []string, composite bool) []string {
	draw := func() string {
		id := fmt.Sprint(rng.IntN(5000))
		switch rng.IntN(30) {
		case 0:
			id = "null"
		case 1:
			id = fmt.Sprint(uint64(1)<<53 + uint64(rng.IntN(5)))
		case 2, 3, 4:
			id = []string{`"a"`, `"a,b"`, `"b\"\\"`, `"ü€"`, `"\u2028"`, `true`, `-7`, `1.5`, `""`, `-0`}[rng.IntN(10)]
		}
		other := ""
		if composite {
			other = `"b":` + []string{`"x"`, `"x,1"`, "1", "2"}[rng.IntN(4)] + `,`
		}
		return fmt.Sprintf(`{"id":%s,%s"n":%d,"none":null,"deep":[{"id":%d,"s":"}],\"{"}]}`, id, other, rng.IntN(3), rng.IntN(3))
	}
	rows = slices.Clone(rows)
	if rng.IntN(40) == 0 {
		rows = nil
	}
	if rng.IntN(5) == 0 { // what has no delta does not stay for ever
		rows = slices.DeleteFunc(rows, func(row string) bool { return !strings.HasPrefix(row, `{"id":1`) })
	}
	for range 1 + rng.IntN(3) {
		if len(rows) < 5 {
			rows = append(rows, draw(), draw())
			continue
		}
		at := rng.IntN(len(rows))
		switch rng.IntN(6) {
		case 0, 1:
			rows = slices.Insert(rows, at, draw())
		case 2:
			rows = slices.Delete(rows, at, at+1)
		case 3:
			rows[at] = strings.Replace(rows[at], `"n":`, fmt.Sprintf(`"n":%d`, 1+rng.IntN(9)), 1)
		case 4:
			row := rows[at]
			rows = slices.Insert(slices.Delete(rows, at, at+1), rng.IntN(len(rows)), row)
		case 5:
			slices.Reverse(rows[at:min(len(rows), at+4)])
		}
	}
	return rows
}

// Whatever the results are and whichever of them a slow client is not shown,
// weir.js ends at the rows of the newest, which are of its version, and unchanged
// rows are the same objects.
func TestClientAppliesDeltas(t *testing.T) {
	t.Parallel()
	path := node(t)
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 4))
	var script bytes.Buffer
	say := func(events string, content any, v string) {
		line, err := json.Marshal(map[string]any{"events": events, "content": content, "v": v})
		if err != nil {
			t.Fatal(err)
		}
		script.Write(append(line, '\n'))
	}
	steps, deltas := 0, 0
	for round := range 40 {
		key := `["id"]`
		if round%2 == 1 {
			key = `["id","b"]`
		}
		q := fmt.Sprintf("q%d", round)
		var rows []string
		for i := range 5 + rng.IntN(30) {
			rows = append(rows, fmt.Sprintf(`{"id":%d,"b":"x","n":0}`, 10_000+i))
		}
		content := func() []byte { return fmt.Appendf(nil, `"key":%s,"rows":[%s]`, key, strings.Join(rows, ",")) }
		frame := reactor.NewFrame(q, content())
		var held reactor.Version
		for range 40 {
			if rng.IntN(3) > 0 && held != frame.Version { // else it is slow
				frame.Want()
				event := frame.Event()
				if d := frame.Delta(held); d != nil {
					event, deltas = d.Event(), deltas+1
				}
				say(fmt.Sprintf("event: sub\ndata: {\"id\":1,\"q\":%q,\"v\":%q,\"status\":\"live\"}\n\n%s", q, frame.Version, event), string(frame.Content()), frame.Version.String())
				steps, held = steps+1, frame.Version
				if rng.IntN(20) == 0 {
					say("event: sub\ndata: {\"id\":1,\"status\":\"denied\",\"reason\":\"no\"}\n\n", nil, "")
					steps, held = steps+1, reactor.Version{}
				}
			}
			rows = redraw(rng, rows, round%2 == 1)
			if c := content(); !bytes.Equal(c, frame.Content()) {
				frame = reactor.NextFrame(frame, q, c, 1<<30)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), path, "client/_test/delta.mjs")
	cmd.Stdin = &script
	out, err := cmd.CombinedOutput()
	var said struct{ Steps, Hashed, Kept int }
	if err != nil || json.Unmarshal(out, &said) != nil || said.Steps != steps {
		t.Fatalf("seed %d, %d steps: %v\n%s", seed, steps, err, out)
	}
	if deltas < steps/4 || said.Hashed < steps/4 || said.Kept < steps {
		t.Errorf("seed %d: of %d steps %d deltas, %+v: that says little", seed, steps, deltas, said)
	}
	t.Logf("seed %d: of %d steps %d deltas, %+v", seed, steps, deltas, said)
}
