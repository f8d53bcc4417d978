package scenarios

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"weir/host/load"
)

// TestScenarioHold: W1, W3, W6. Very many subscriptions are held and nothing happens;
// then half of them are invalidated, three times: row by row, in statements of some
// rows, and in one that is too large to be logged row by row. Exactly those are pushed
// whose rows changed, once each, and nobody is told anything else.
// Cases: 120.
func TestScenarioHold(t *testing.T) {
	// Not in parallel: it measures the memory of the process.
	const each = 10
	n := 20 * min(scale(t), 50)
	all := n * each
	w := start(t, "hold", fmt.Sprintf(`create table items (id int primary key, n int not null default 0);
		insert into items select i from generate_series(0, %d) i;`, all+299), // more than are watched
		map[string][]byte{"items.wasm": plugin("items", "1", function{name: "item", sql: `select id, n from items where id = $id`, key: []string{"id"}})})
	begun := make([]atomic.Int64, all) // when the last change of an item began, in ns
	before := used()
	for i := range n {
		subs := []*live{beats()}
		for j := range each {
			id := i*each + j
			subs = append(subs, &live{name: "item", args: fmt.Sprintf(`{"id":%d}`, id), written: func(*result) time.Time { return time.Unix(0, begun[id].Load()) }})
		}
		w.open(t, who{name: fmt.Sprintf("h%d", i)}, subs...)
	}
	w.settle(t)
	after := used()
	frames, _, _ := w.frames()
	want(t, "frames at first", frames, int64(all))
	want(t, "W3: runs at first", w.ran("item"), tally{runs: all, first: all})
	t.Logf("%d subscriptions of %d clients: %d kB of heap and stacks (clients included), %d kB resident; %d B a subscription",
		all, n, (after.heap-before.heap)>>10, (after.resident-before.resident)>>10, (after.heap-before.heap)/int64(all))

	w.exactly(t, "nothing", cost{"item": 0}, 0, func() {})
	half := all / 2 // those with even numbers
	change := func(from, to int, sql string) {
		for id := from; id < to; id += 2 {
			begun[id].Store(time.Now().UnixNano())
		}
		w.commit(t, w.conn, commit{sql: sql})
	}
	w.exactly(t, "row by row", cost{"item": half}, int64(half), func() {
		for id := 0; id < all; id += 2 {
			change(id, id+1, fmt.Sprintf(`update items set n = n + 1 where id = %d`, id))
		}
	})
	w.exactly(t, "a hundred at a time", cost{"item": half}, int64(half), func() {
		for id := 0; id < all; id += 200 {
			change(id, min(id+200, all), fmt.Sprintf(`update items set n = n + 1 where id %% 2 = 0 and id >= %d and id < %d`, id, id+200))
		}
	})
	// More rows than are logged: all that read the table run, and who is not concerned
	// is pushed nothing.
	sent, _, _ := w.frames()
	words, ran := w.words(), w.ran("item")
	change(0, all, fmt.Sprintf(`update items set n = n + 1 where id %% 2 = 0 or id >= %d`, all))
	w.settle(t)
	now, _, _ := w.frames()
	want(t, "in one statement: frames", now-sent, int64(half))
	want(t, "in one statement: words", w.words()-words, int64(half))
	of := w.since("item", ran)
	if of.runs-of.same != half || of.runs > all {
		t.Errorf("in one statement: %d runs, %d of them in vain, want %d that are not", of.runs, of.same, half)
	}
	for i, c := range w.clients {
		for j, s := range c.subs[1:] {
			id := i*each + j
			want(t, c.who.name+" shows", string(s.result.list()), fmt.Sprintf(`[{"id":%d,"n":%d}]`, id, 3*((id+1)%2)))
		}
		c.check(t)
	}
	w.row(t, "W1 W3 W6", "item")
}

// usage is what the process uses.
type usage struct{ heap, resident int64 }

func used() usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{int64(m.HeapInuse + m.StackInuse), load.UsageOf(os.Getpid()).RSS}
}
