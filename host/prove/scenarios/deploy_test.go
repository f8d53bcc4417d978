package scenarios

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/host"
)

const deployItems = `select id, title from items where list = %s order by id`

// release is a version of the plugin: its number is in each row.
func release(n int) []byte {
	return plugin("app", fmt.Sprint(n),
		function{name: "items", sql: fmt.Sprintf(`select id, title, %d as release from items where list = $list order by id`, n), key: []string{"id"}, policies: []string{"anybody"}},
		function{name: "anybody", kind: "policy", sql: `select 1 from doors where open`},
	)
}

// broken are versions that cannot serve, each in its own way.
func broken() map[string][]byte {
	items := func(sql string) []byte {
		return plugin("app", "broken", function{name: "items", sql: sql, key: []string{"id"}})
	}
	return map[string][]byte{
		"no module":             []byte("nothing"),
		"half a module":         release(9)[:100],
		"a column that is gone": items(`select id, heading from items where list = $list order by id`),
		"a clock":               items(`select id, now() as title from items where list = $list order by id`),
		"a name of another":     plugin("app", "broken", function{name: "others", sql: `select id from items where list = $list order by id`}),
	}
}

// TestScenarioDeploy: W1, W2, W3, W9, W10. A plugin is replaced, again and again, under
// sessions, requests and writes, at times by one that cannot serve. No client loses its
// stream, no request is refused, no answer of an old version comes after one of a new
// one, all end on the newest; and the groups of its functions run again, once, and no
// others.
// Cases: 87, 111.
func TestScenarioDeploy(t *testing.T) {
	t.Parallel()
	const lists, watchers = 3, 4
	releases := 2 + 2*scale(t)
	told := make(chan host.Event, 64)
	w := start(t, "deploy", fmt.Sprintf(`create table items (id int primary key, list int not null, title text not null);
		create table doors (id int primary key, open boolean not null); insert into doors values (1, true);
		insert into items select i, i %% %d, 'item ' || i from generate_series(0, %d) i;`, lists, 5*lists-1),
		map[string][]byte{"app.wasm": release(1), "others.wasm": plugin(
			"others", "1",
			function{name: "others", sql: fmt.Sprintf(deployItems, "$list"), key: []string{"id"}},
		)}, loaded(told))
	for range 3 {
		<-told
	}
	var items, others []*history
	for i := range lists {
		sql := fmt.Sprintf(deployItems, fmt.Sprint(i))
		items, others = append(items, w.watchable(t, fmt.Sprintf("items of list %d", i), sql)), append(others, w.watchable(t, fmt.Sprintf("others of list %d", i), sql))
		items[i].without = "release"
		args := fmt.Sprintf(`{"list":%d}`, i)
		for c := range watchers {
			w.open(t, who{name: fmt.Sprintf("l%d.%d", i, c)}, beats(), &live{name: "items", args: args, scope: items[i]}, &live{name: "others", args: args, scope: others[i]})
		}
	}
	w.settle(t)
	w.fresh(t)

	load := w.underLoad(t, lists, items, others)
	newest := 1
	for n := 2; n <= releases; n++ {
		w.Write(t, "app.wasm", release(n))
		if e := <-told; e.Kind != host.PluginLoaded {
			t.Fatalf("release %d: %v", n, e.Err)
		}
		newest = n
	}
	for name, module := range broken() {
		w.Write(t, "app.wasm", module)
		if e := <-told; e.Kind != host.PluginFailed {
			t.Errorf("%s: %v", name, e)
		}
	}
	load.stop(t)
	w.settle(t)
	w.fresh(t, append(items, others...)...)
	w.onRelease(t, newest)
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d requests while %d releases and %d broken ones came", load.asked.Load(), releases-1, len(broken()))

	// In the quiet it can be counted.
	ran, apart, decided := w.ran("items"), w.ran("others"), w.ran("anybody")
	w.quiet.Store(false)
	w.Write(t, "app.wasm", release(newest+1))
	if e := <-told; e.Kind != host.PluginLoaded {
		t.Fatal(e.Err)
	}
	for _, c := range w.clients {
		c.until(t, "the last release", func() bool { return c.subs[1].top == int64(newest+1) })
	}
	w.settle(t)
	w.onRelease(t, newest+1)
	want(t, "runs of items at a release", w.since("items", ran), tally{runs: lists, first: lists})
	want(t, "runs of its policy", w.since("anybody", decided), tally{runs: 1, first: 1})
	want(t, "runs of another plugin", w.since("others", apart), tally{})
	w.row(t, "W1 W2 W3 W9 W10", "items", "others")
}

// onRelease fails unless every client shows rows of a release.
func (w *world) onRelease(t *testing.T, n int) {
	t.Helper()
	for _, c := range w.clients {
		c.mu.Lock()
		want(t, c.who.name+" shows release", c.subs[1].top, int64(n))
		c.mu.Unlock()
	}
}

// background is what goes on while something else happens.
type background struct {
	done  atomic.Bool
	asked atomic.Int64
	all   sync.WaitGroup
}

// underLoad writes and asks until it is stopped.
func (w *world) underLoad(t *testing.T, lists int, items, others []*history) *background {
	b := &background{}
	t.Cleanup(func() { b.done.Store(true); b.all.Wait() })
	for i := range 2 {
		conn := w.DB.Conn(t)
		b.all.Go(func() { b.note(t, w.rewrite(t, b, conn, i, lists, items, others)) })
		b.all.Go(func() {
			for n := i; !b.done.Load(); n++ {
				path := fmt.Sprintf("/v1/q/%s?list=%d", []string{"items", "others"}[n%2], n%lists)
				resp, err := who{name: "asks"}.do(t.Context(), http.MethodGet, who{name: "asks"}.address(w.URL, path), "")
				if err == nil {
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("a request was refused: %s", resp.Status)
					}
				}
				b.asked.Add(1)
				if b.note(t, err); err != nil {
					return
				}
			}
		})
	}
	return b
}

// rewrite writes one list after another.
func (w *world) rewrite(t *testing.T, b *background, conn *pgx.Conn, i, lists int, items, others []*history) error {
	for n := 0; !b.done.Load(); n++ {
		list := (2*n + i) % lists
		sql := fmt.Sprintf(`update items set title = 'title %d' where id = %d`, n, list+lists*(n%5))
		if err := w.try(t.Context(), conn, commit{sql: sql, touches: []*history{items[list], others[list]}}); err != nil {
			return err
		}
	}
	return nil
}

func (b *background) note(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func (b *background) stop(t *testing.T) {
	t.Helper()
	b.done.Store(true)
	b.all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
