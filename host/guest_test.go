package host_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

// The host functions that the guests of these tests import, by index.
const (
	fnQuery = iota
	fnRowsLen
	fnNow
	fnWakeAt
	fnExec
)

var imports = []wasmtest.Import{
	wasmtest.Host(abi.ImportQuery, "iii:i"), wasmtest.Host(abi.ImportRowsLen, "i:i"),
	wasmtest.Host(abi.ImportNow, ":I"), wasmtest.Host(abi.ImportWakeAt, "I:i"),
	wasmtest.Host(abi.ImportExec, "iii:i"),
}

// guest assembles a plugin from a manifest without its head and one body for
// each function, in order.
func guest(name string, m abi.Manifest, data []byte, bodies ...[]byte) []byte {
	m.ABI, m.Name, m.Version = abi.Version, name, "1"
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Imports: imports, Call: choose(bodies),
		Data: map[uint32][]byte{wasmtest.DataAt: data},
	}.Bytes()
}

// choose runs the body whose number is the function's: the last one that the
// number does not fall short of.
func choose(bodies [][]byte) []byte {
	code := bodies[0]
	for i, body := range bodies[1:] {
		below := wasmtest.Join(wasmtest.Get(0), wasmtest.I32(int32(i+1)), []byte{0x4f}) // i32.ge_u
		code = wasmtest.Join(below, wasmtest.If(wasmtest.Join(body, wasmtest.Return())), code)
	}
	return code
}

// pose queries a statement with the function's own arguments and leaves the
// handle in a local.
func pose(statement int32) []byte {
	return wasmtest.Join(wasmtest.I32(statement), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1),
		wasmtest.Invoke(fnQuery), wasmtest.Put(2))
}

// look counts the rows of the handle in the local.
func look() []byte {
	return wasmtest.Join(wasmtest.Get(2), wasmtest.Invoke(fnRowsLen), wasmtest.Drop())
}

// rows returns the handle in the local.
func rows() []byte { return wasmtest.Join(wasmtest.Get(2), wasmtest.PackHandle()) }

// constant returns n bytes of the data.
func constant(n int) []byte { return wasmtest.Pack(abi.TagValue, wasmtest.DataAt, uint32(n)) }

func public(name string, uses ...int) abi.Function {
	return abi.Function{Name: name, Kind: abi.Query, Access: abi.Access{Public: true}, Uses: uses}
}

var allTodos = []abi.Statement{{SQL: `select id, title from todos order by id`}}

// metric returns a figure of /metrics.
func metric(t *testing.T, s *hosttest.Server, name string) float64 {
	t.Helper()
	text := metrics(t, s)
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no metric %s in\n%s", name, text)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func metrics(t *testing.T, s *hosttest.Server) string {
	t.Helper()
	resp, err := http.Get(s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const calls = "weir_plugin_calls_total"

// TestPlanRunsAgainWithoutTheGuest: G13. Who returned a handle, or a constant,
// without looking at anything is not asked again; who looked is.
func TestPlanRunsAgainWithoutTheGuest(t *testing.T) {
	t.Parallel()
	f := func(name string, call []byte, enters bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := abi.Manifest{Statements: allTodos, Functions: []abi.Function{public("todos.all", 0)}}
			s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"g.wasm": guest("g", m, nil, call)}})
			stream := watch(t, s.URL+"/v1/q/todos.all")
			if got := stream.result(t).Rows; len(got) != 9 || got[0]["title"] != "todo 1" {
				t.Fatalf("got %v", got)
			}
			before := metric(t, s, calls)
			for i := range 5 {
				title := fmt.Sprintf("title %d", i)
				s.SQL(t, `update todos set title = $1 where id = 1`, title)
				if got := stream.result(t).Rows[0]["title"]; got != title {
					t.Fatalf("got %v, want %s", got, title)
				}
			}
			if entered := metric(t, s, calls) - before; (entered > 0) != enters {
				t.Errorf("the guest was entered %v times in five runs", entered)
			}
		})
	}
	f("a handle", wasmtest.Join(pose(0), rows()), false)
	f("rows that it looked at", wasmtest.Join(pose(0), look(), rows()), true)
	f("the time", wasmtest.Join(wasmtest.Invoke(fnNow), wasmtest.Drop(), pose(0), rows()), true)
}

// TestUnseenRowsAreReadInOneWave: G13. What a guest returned without looking at it
// is read as a wave, also the first time; what it looked at is not read again.
func TestUnseenRowsAreReadInOneWave(t *testing.T) {
	t.Parallel()
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: `select id, title from todos where list = $list order by id`}},
		Functions:  []abi.Function{public("unseen", 0), public("seen", 0)},
	}
	for i := range m.Functions {
		m.Functions[i].Fields = []abi.Field{{Name: "list", Schema: abi.Schema{Type: "integer"}}}
	}
	// Groups of before may run again, since triggers are made: a wave each.
	var again atomic.Int64
	observe := func(r reactor.Run) {
		if r.Cause.Reason != reactor.First {
			again.Add(1)
		}
	}
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Observe: observe, Modules: map[string][]byte{
		"g.wasm": guest("g", m, nil, wasmtest.Join(pose(0), rows()), wasmtest.Join(pose(0), look(), rows())),
	}})
	f := func(name string, want float64) {
		t.Helper()
		before, others := metric(t, s, "weir_db_waves_total"), again.Load()
		status, answer := get(t, s.URL+"/v1/q/"+name+"?list=1")
		if list, _ := answer["rows"].([]any); status != 200 || len(list) != 3 {
			t.Errorf("%s: %d %v", name, status, answer)
		}
		if waves := metric(t, s, "weir_db_waves_total") - before - float64(again.Load()-others); waves != want {
			t.Errorf("%s: read in %v waves, want %v", name, waves, want)
		}
	}
	f("unseen", 1)
	f("seen", 0)
}

// TestConstantIsNotComputedAgain: G13. A change of definitions runs every group;
// a value that depends on nothing is taken from the plan.
func TestConstantIsNotComputedAgain(t *testing.T) {
	t.Parallel()
	value := abi.Text("always").AppendCBOR(nil)
	m := abi.Manifest{Functions: []abi.Function{public("constant")}}
	ran := make(chan string, 64)
	s := hosttest.Start(t, hosttest.Config{
		Schema:  todos,
		Modules: map[string][]byte{"g.wasm": guest("g", m, value, constant(len(value))), "todos.wasm": module(byList)},
		Observe: observed(ran),
	})
	stream := watch(t, s.URL+"/v1/q/constant")
	if e := stream.next(t, func(e event) bool { return e.kind == "" }); !strings.Contains(e.data, `"value":"always"`) {
		t.Fatalf("got %s", e.data)
	}
	if name := <-ran; name != "constant" {
		t.Fatalf("%s ran", name)
	}
	before := metric(t, s, calls)
	s.SQL(t, `create table elsewhere (id int)`)
	if name := <-ran; name != "constant" {
		t.Fatalf("%s ran", name)
	}
	if now := metric(t, s, calls); now != before {
		t.Errorf("the guest was entered %v times", now-before)
	}
}

// TestFailedReadIsNoLiveResult: W1. What a guest makes of a statement that failed
// has no read set for it: it is an error, and a result as soon as there is one.
func TestFailedReadIsNoLiveResult(t *testing.T) {
	t.Parallel()
	value := abi.Text("so what").AppendCBOR(nil)
	m := abi.Manifest{Statements: allTodos, Functions: []abi.Function{public("todos.any", 0)}}
	s := hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\n[limits]\nresult_rows = 5\n", Schema: todos,
		Modules: map[string][]byte{"g.wasm": guest("g", m, value, wasmtest.Join(pose(0), look(), constant(len(value))))},
	})
	if status, answer := get(t, s.URL+"/v1/q/todos.any"); answer["code"] != string(abi.ResultTooLarge) {
		t.Errorf("got %d %v, want %s", status, answer, abi.ResultTooLarge)
	}
	stream := watch(t, s.URL+"/v1/q/todos.any")
	stream.status(t, "error")
	s.SQL(t, `delete from todos where id > 3`)
	stream.status(t, "live")
}

// TestPluginPutBackServesItsGroups: the same code is the same group, also when
// the group has outlived the plugin that it came from.
func TestPluginPutBackServesItsGroups(t *testing.T) {
	t.Parallel()
	m := abi.Manifest{Statements: allTodos, Functions: []abi.Function{public("todos.all", 0)}}
	value := abi.Text("another").AppendCBOR(nil)
	first := guest("g", m, nil, wasmtest.Join(pose(0), look(), rows()))
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"g.wasm": first}})
	stream := watch(t, s.URL+"/v1/q/todos.all")
	stream.result(t)
	s.Write(t, "g.wasm", guest("g", m, value, constant(len(value))))
	stream.next(t, func(e event) bool { return strings.Contains(e.data, `"value":"another"`) })
	s.Write(t, "g.wasm", first)
	if got := len(stream.result(t).Rows); got != 9 {
		t.Fatalf("got %d rows of the plugin that was put back", got)
	}
	s.SQL(t, `delete from todos where id = 9`)
	if got := len(stream.result(t).Rows); got != 8 {
		t.Errorf("got %d rows, want 8", got)
	}
}

// TestStatementWithNowRunsAgainAtWakeAt: DESIGN 13. The clock alone changes the
// result, at the time that the statement asks for, also in a guest's hands.
func TestStatementWithNowRunsAgainAtWakeAt(t *testing.T) {
	t.Parallel()
	zero := 0
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: `select id, at <= $now as due, case when at > $now then at end as wake_at from alarms order by id`}},
		Functions:  []abi.Function{public("statement"), public("plan", 0), public("guest", 0)},
	}
	m.Functions[0].Statement = &zero
	s := hosttest.Start(t, hosttest.Config{
		Schema: `create table alarms (id int primary key, at timestamptz not null)`,
		Modules: map[string][]byte{"alarms.wasm": guest("alarms", m, nil,
			wasmtest.Unreachable(), wasmtest.Join(pose(0), rows()), wasmtest.Join(pose(0), look(), rows()))},
	})
	s.SQL(t, `insert into alarms values (1, clock_timestamp() + interval '4 s'), (2, clock_timestamp() + interval '1 h')`)
	var streams []*stream
	for _, f := range m.Functions {
		stream := watch(t, s.URL+"/v1/q/"+f.Name)
		if first := stream.result(t); first.Rows[0]["due"] != false || first.Rows[0]["wake_at"] == nil {
			t.Fatalf("%s: got %s", f.Name, first.raw)
		}
		streams = append(streams, stream)
	}
	for i, stream := range streams {
		second := stream.result(t)
		if second.Rows[0]["due"] != true || second.Rows[0]["wake_at"] != nil || second.Rows[1]["due"] != false {
			t.Errorf("%s: got %s", m.Functions[i].Name, second.raw)
		}
	}
}

// TestGuestRunsAgainAtWakeAt: the earliest of what it asks for, at least a second
// from now (D9).
func TestGuestRunsAgainAtWakeAt(t *testing.T) {
	t.Parallel()
	// The value is the time: an integer of eight bytes, in whatever order.
	call := wasmtest.Join(
		wasmtest.I32(wasmtest.DataAt+1), wasmtest.Invoke(fnNow), wasmtest.Store64(),
		wasmtest.Invoke(fnNow), wasmtest.Invoke(fnWakeAt), wasmtest.Drop(),
		wasmtest.Invoke(fnNow), wasmtest.I64(3_600_000_000), []byte{0x7c}, wasmtest.Invoke(fnWakeAt), wasmtest.Drop(),
		constant(9))
	m := abi.Manifest{Functions: []abi.Function{public("clock")}}
	causes := make(chan string, 64)
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"clock.wasm": guest("clock", m, []byte{0x1b}, call)},
		Observe: func(r reactor.Run) { causes <- r.Cause.Reason.String() },
	})
	stream := watch(t, s.URL+"/v1/q/clock")
	value := func() string {
		return stream.next(t, func(e event) bool { return e.kind == "" }).data
	}
	first, began := value(), time.Now()
	if second := value(); second == first {
		t.Errorf("the clock stands still: %s", second)
	}
	if a, b := <-causes, <-causes; a != "first" || b != "wake" {
		t.Errorf("it ran because of %s and %s", a, b)
	}
	if took := time.Since(began); took < 800*time.Millisecond || took > 10*time.Second {
		t.Errorf("the second run came after %v", took)
	}
}

// TestGroupsOfOneCommitShareReadTransactions: 50 groups of one statement.
func TestGroupsOfOneCommitShareReadTransactions(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Schema: `create table todos (id int primary key, list int not null, title text not null, done boolean not null default false);
			insert into todos select i, i, 'todo ' || i from generate_series(0, 49) i;`,
		Modules: map[string][]byte{"todos.wasm": module(byList)},
	})
	var subs []string
	for i := range 50 {
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"todos.list","args":{"list":%d}}`, i+1, i))
	}
	stream := session(t, s.URL+"/v1/stream", "", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	for range 50 {
		stream.result(t)
	}
	waves, runs := metric(t, s, "weir_db_waves_total"), metric(t, s, "weir_reactor_executions_total")
	s.SQL(t, `update todos set title = 'changed'`)
	for range 50 {
		if got := stream.result(t).Rows[0]["title"]; got != "changed" {
			t.Fatalf("got %v", got)
		}
	}
	waves, runs = metric(t, s, "weir_db_waves_total")-waves, metric(t, s, "weir_reactor_executions_total")-runs
	// How many depends on how fast the loop is beside the waves that it started.
	if runs < 50 || waves*5 > runs*4 {
		t.Errorf("%v runs in %v read transactions", runs, waves)
	}
}
