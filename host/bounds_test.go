package host_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

// reached is how often a tenant reached a limit, as /metrics tells.
func reached(t *testing.T, s *hosttest.Server, tenant, limit string) int {
	t.Helper()
	name := fmt.Sprintf(`weir_tenant_limits_total{limit=%q,tenant=%q} `, limit, tenant)
	for line := range strings.Lines(metrics(t, s)) {
		if n, ok := strings.CutPrefix(line, name); ok {
			var v float64
			if _, err := fmt.Sscan(n, &v); err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
	}
	return 0
}

// faulty is a plugin whose functions fail in one way each, beside a statement.
func faulty() []byte {
	zero, one := 0, 1
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select id, title from items order by id`}, {SQL: `select i.id, repeat('x', 100000) as title from items i order by id`},
		},
		Functions: []abi.Function{
			public("items.loop"), public("items.trap"), public("items.spam"),
			{Name: "items.good", Kind: abi.Query, Statement: &zero, Access: abi.Access{Public: true}},
			{Name: "items.big", Kind: abi.Query, Statement: &one, Access: abi.Access{Public: true}},
		},
	}
	spam := wasmtest.Join(wasmtest.Repeat(60, 2, wasmtest.Join(wasmtest.I32(abi.LogDebug), wasmtest.I32(wasmtest.DataAt), wasmtest.I32(200), wasmtest.Invoke(len(imports)), wasmtest.Drop())), constant(1))
	m.ABI, m.Name, m.Version = abi.Version, "items", "1"
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Imports: append(imports[:len(imports):len(imports)], wasmtest.Host(abi.ImportLog, "iii:i")),
		Call: choose([][]byte{wasmtest.Join(wasmtest.Forever(nil), wasmtest.Unreachable()), wasmtest.Unreachable(), spam}),
		Data: map[uint32][]byte{wasmtest.DataAt: []byte(strings.Repeat("\x01", 200))},
	}.Bytes()
}

// TestBoundsAreToldByTenant: W6. Each limit that a tenant reaches is refused with
// a code and counted for it, and for nobody else.
func TestBoundsAreToldByTenant(t *testing.T) {
	t.Parallel()
	stopped := make(chan host.Event, 4)
	s := hosttest.Start(t, hosttest.Config{
		TOML: twoTenants + `[tenant.acme.limits]
breaker_failures = 3
guest_timeout = "20ms"
guest_log_rate = 1000
result_bytes = "64 KiB"
session_subscriptions = 1
argument_bytes = "1 KiB"
token_bytes = "1 KiB"
anonymous_sessions = 1
groups = 9
`,
		Tenants: map[string]hosttest.Tenant{
			"acme": {Schema: items("acme"), Modules: map[string][]byte{"items.wasm": faulty()}},
			"bolt": {Schema: items("bolt"), Modules: map[string][]byte{"items.wasm": listing()}},
		},
		Event: func(e host.Event) {
			if e.Kind == host.PluginStopped {
				stopped <- e
			}
		},
	})
	acme := s.URL + "/t/acme"
	b := &bounds{server: s}
	get := func(path string) func() (int, string) {
		return func() (int, string) { return onHost(t, http.MethodGet, acme+path, "default.test", "", "") }
	}
	stream := func(body, token string) func() (int, string) {
		return func() (int, string) {
			return onHost(t, http.MethodPost, acme+"/v1/stream", "default.test", token, body)
		}
	}
	b.reach(t, "guest_log_rate", "", get("/v1/q/items.spam"))
	b.reach(t, "result_bytes", "result_too_large", get("/v1/q/items.big"))
	b.reach(t, "session_subscriptions", "limit", stream(`{"subs":[{"id":1,"q":"items.good"},{"id":2,"q":"items.good"}]}`, ""))
	b.reach(t, "argument_bytes", "too_large", get("/v1/q/items.good?args="+strings.Repeat("1", 2000)))
	b.reach(t, "token_bytes", "too_large", func() (int, string) {
		return onHost(t, http.MethodGet, acme+"/v1/schema", "default.test", strings.Repeat("x", 2000), "")
	})
	watch(t, acme+"/v1/q/items.good").result(t)
	b.reach(t, "anonymous_sessions", "limit", stream(`{"subs":[]}`, ""))
	b.reach(t, "guest_timeout", "deadline", get("/v1/q/items.loop"))
	get("/v1/q/items.trap")()
	get("/v1/q/items.trap")()
	if e := <-stopped; e.Name != "items" || e.Text == "" {
		t.Errorf("the stop was told as %+v", e)
	}
	b.reach(t, "breaker_failures", "plugin_broken", get("/v1/q/items.trap"))
	if text := metrics(t, s); !strings.Contains(text, `weir_tenant_stopped{tenant="acme"} 1`) {
		t.Error("metrics do not say that a plugin of acme is stopped")
	}
	if status, text := get("/v1/q/items.good")(); status != 200 {
		t.Errorf("a statement of the stopped plugin: %d %s", status, text)
	}
	// A new version of the plugin is not stopped.
	s.Write(t, "tenants/acme/items.wasm", listing())
	for {
		if status, _ := get("/v1/q/items.trap")(); status == http.StatusNotFound {
			break
		}
	}
	if status, text := get("/v1/q/items.open")(); status != 200 {
		t.Errorf("the new version: %d %s", status, text)
	}
	if status, text := onHost(t, http.MethodGet, s.URL+"/t/bolt/v1/q/items.open", "default.test", "", ""); status != 200 {
		t.Errorf("the other tenant: %d %s", status, text)
	}
	b.all(t)
}

// noisy is a plugin with a loop, slow SQL and a statement for each item.
func noisy() []byte {
	zero, one := 0, 1
	id := []abi.Field{{Name: "id", Schema: abi.Schema{Type: "integer"}}}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select id, title from items where id = $id order by id`},
			{SQL: `select a.id from items a, generate_series(1, 3000000 + $id) g group by a.id order by a.id`},
		},
		Functions: []abi.Function{
			{Name: "items.loop", Kind: abi.Query, Fields: id, Access: abi.Access{Public: true}, Uses: []int{0}},
			{Name: "items.one", Kind: abi.Query, Fields: id, Statement: &zero, Access: abi.Access{Public: true}},
			{Name: "items.slow", Kind: abi.Query, Fields: id, Statement: &one, Access: abi.Access{Public: true}},
		},
	}
	return guest("items", m, nil, wasmtest.Join(pose(0), look(), wasmtest.Forever(nil), wasmtest.Unreachable()))
}

// TestAQuietTenantIsServedBesideANoisyOne: W7. acme loops, runs slow SQL and is
// written to in a storm; bolt is refused nothing, and all its updates arrive.
// Cases: 33.
func TestAQuietTenantIsServedBesideANoisyOne(t *testing.T) {
	t.Parallel()
	const updates = 40
	var mu sync.Mutex // protects the field below
	failed := map[string]int{}
	s := hosttest.Start(t, hosttest.Config{
		TOML: twoTenants + "[tenant.acme.limits]\nexecutions = 4\nquery_timeout = \"300ms\"\n",
		Tenants: map[string]hosttest.Tenant{
			"acme": {Schema: items("acme") + `; insert into items select i, 'more' from generate_series(3, 50) i`, Modules: map[string][]byte{"items.wasm": noisy()}},
			"bolt": {Schema: items("bolt"), Modules: map[string][]byte{"items.wasm": listing()}},
		},
		Observe: func(r reactor.Run) {
			if r.Err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[r.Tenant]++
			}
		},
	})
	var subs []string
	for i := range 30 {
		for _, name := range []string{"loop", "slow", "one"} {
			subs = append(subs, fmt.Sprintf(`{"id":"%s%d","q":"items.%s","args":{"id":%d}}`, name, i, name, i+1))
		}
	}
	noise := session(t, s.URL+"/t/acme/v1/stream", "", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	go func() {
		for range noise.events { // they are read, so that it is no slow client
		}
	}()
	stop := make(chan struct{})
	var storm sync.WaitGroup
	conn := s.DB.Conn(t)
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := conn.Exec(t.Context(), `update acme.items set title = title || '.' where id <= 30`); err != nil {
					return
				}
			}
		}
	})
	quiet := watch(t, s.URL+"/t/bolt/v1/q/items.open")
	quiet.result(t)
	for i := range updates {
		s.SQL(t, `update bolt.items set title = $1 where id = 1`, fmt.Sprintf("number %d", i))
		for quiet.result(t).Rows[0]["title"] != fmt.Sprintf("number %d", i) {
		}
		if status, text := onHost(t, http.MethodGet, s.URL+"/t/bolt/v1/q/items.open", "default.test", "", ""); status != 200 {
			t.Fatalf("a request of the quiet tenant: %d %s", status, text)
		}
	}
	close(stop)
	storm.Wait()
	mu.Lock()
	defer mu.Unlock()
	if failed["bolt"] != 0 || failed["acme"] == 0 {
		t.Errorf("failed runs: %v", failed)
	}
	if reached(t, s, "acme", "executions") == 0 {
		t.Error("the noisy tenant was never limited")
	}
}
