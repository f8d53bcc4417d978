package host_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// counted are the bounds that docs/operating.md calls counted, and the test that
// reaches each of them.
var counted = map[string]string{
	"guest_log_rate": "TestBoundsAreToldByTenant", "result_bytes": "TestBoundsAreToldByTenant",
	"session_subscriptions": "TestBoundsAreToldByTenant", "argument_bytes": "TestBoundsAreToldByTenant",
	"token_bytes": "TestBoundsAreToldByTenant", "anonymous_sessions": "TestBoundsAreToldByTenant",
	"guest_timeout": "TestBoundsAreToldByTenant", "breaker_failures": "TestBoundsAreToldByTenant",

	"statements": "TestBoundsOfGuests", "handles": "TestBoundsOfGuests", "host_calls": "TestBoundsOfGuests",
	"memory_bytes": "TestBoundsOfGuests", "stack_bytes": "TestBoundsOfGuests", "module_bytes": "TestBoundsOfGuests",
	"guest_log_lines": "TestBoundsOfGuests", "guest_log_bytes": "TestBoundsOfGuests",

	"query_timeout": "TestBoundsOfWork", "policy_timeout": "TestBoundsOfWork", "mutation_timeout": "TestBoundsOfWork",
	"connections": "TestBoundsOfWork", "executions": "TestBoundsOfWork", "first_runs": "TestBoundsOfWork",

	"groups": "TestBoundsOfClients", "principal_groups": "TestBoundsOfClients", "principal_subscriptions": "TestBoundsOfClients",
	"sessions": "TestBoundsOfClients", "principal_sessions": "TestBoundsOfClients", "address_sessions": "TestBoundsOfClients",
	"id_bytes": "TestBoundsOfClients", "write_rate": "TestBoundsOfClients",

	"compile_timeout": "", // of the room wasm, whose error says it
	"total_sessions":  "", // of the room serve, as its own tests show
	"open_rate":       "",
}

// TestEveryCountedBoundIsReached: the table of the documentation and the tests
// speak of the same bounds.
func TestEveryCountedBoundIsReached(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) == 7 && strings.HasPrefix(strings.TrimSpace(cells[5]), "yes") {
			told = append(told, strings.Split(cells[1], "`")[1])
		}
	}
	slices.Sort(told)
	if want := slices.Sorted(maps.Keys(counted)); !slices.Equal(told, want) {
		t.Errorf("the table counts\n%v\nthe tests\n%v", told, want)
	}
}

// bounds are the bounds that a test reaches for acme.
type bounds struct {
	server  *hosttest.Server
	covered []string
}

// reach asks for what is over a bound, and wants a code and a count for acme alone.
func (b *bounds) reach(t *testing.T, limit, code string, ask func() (int, string)) {
	t.Helper()
	before := reached(t, b.server, "acme", limit)
	status, text := ask()
	if code != "" && !strings.Contains(text, `"`+code+`"`) {
		t.Errorf("%s: %d %s, want the code %s", limit, status, text, code)
	}
	if now := reached(t, b.server, "acme", limit); now <= before {
		t.Errorf("%s was reached %d times before and %d after: %d %s", limit, before, now, status, text)
	}
	if n := reached(t, b.server, "bolt", limit); n != 0 {
		t.Errorf("%s: counted for the other tenant", limit)
	}
	b.covered = append(b.covered, limit)
}

// all wants every bound of the test to have been reached.
func (b *bounds) all(t *testing.T) {
	t.Helper()
	for limit, test := range counted {
		if test == t.Name() && !slices.Contains(b.covered, limit) {
			t.Errorf("%s was not reached", limit)
		}
	}
}

// get asks acme.
func (b *bounds) get(t *testing.T, path string) func() (int, string) {
	return func() (int, string) {
		return onHost(t, http.MethodGet, b.server.URL+"/t/acme/v1/q/"+path, "default.test", "", "")
	}
}

// greedy is a plugin whose functions each want too much of one thing.
func greedy() []byte {
	fnLog, fnClose := len(imports), len(imports)+1
	call := fnClose + 1 + 2 // describe and buf come before it
	line := func(n int32) []byte {
		return wasmtest.Join(wasmtest.I32(abi.LogDebug), wasmtest.I32(wasmtest.DataAt), wasmtest.I32(n), wasmtest.Invoke(fnLog), wasmtest.Drop())
	}
	closed := wasmtest.Join(pose(0), wasmtest.Get(2), wasmtest.Invoke(fnClose), wasmtest.Drop())
	bodies := map[string][]byte{
		"handles":    wasmtest.Join(pose(0), pose(0), pose(0), constant(1)),
		"statements": wasmtest.Join(closed, closed, closed, closed, closed, constant(1)),
		"host_calls": wasmtest.Join(wasmtest.Repeat(60, 3, wasmtest.Join(wasmtest.Invoke(fnNow), wasmtest.Drop())), constant(1)),
		"memory":     wasmtest.Join(wasmtest.I32(100), wasmtest.Grow(), wasmtest.Drop(), wasmtest.Unreachable()),
		"stack":      wasmtest.Join(wasmtest.Get(0), wasmtest.Get(1), wasmtest.Invoke(call)),
		"lines":      wasmtest.Join(wasmtest.Repeat(5, 3, line(1)), constant(1)),
		"bytes":      wasmtest.Join(line(2000), constant(1)),
	}
	m := abi.Manifest{ABI: abi.Version, Name: "greedy", Version: "1", Statements: []abi.Statement{{SQL: `select id, title from items order by id`}}}
	var code [][]byte
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		m.Functions = append(m.Functions, public("too.many."+name, 0))
		code = append(code, bodies[name])
	}
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Call: choose(code),
		Imports: append(imports[:len(imports):len(imports)], wasmtest.Host(abi.ImportLog, "iii:i"), wasmtest.Host(abi.ImportClose, "i:i")),
		Data:    map[uint32][]byte{wasmtest.DataAt: []byte(strings.Repeat("\x01", 2000))},
	}.Bytes()
}

// TestBoundsOfGuests: W6, W8. What a guest may have in one call, and how large its
// module may be.
// Cases: 32.
func TestBoundsOfGuests(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	s := two(t, hosttest.Config{
		TOML: twoTenants + `[tenant.acme.limits]
guest_timeout = "5s"
statements = 4
handles = 2
host_calls = 50
memory_bytes = "1 MiB"
module_bytes = "64 KiB"
guest_log_lines = 3
guest_log_bytes = "1 KiB"
breaker_failures = 0
`,
		Tenants: map[string]hosttest.Tenant{"acme": {Modules: map[string][]byte{"greedy.wasm": greedy()}}},
		Event:   onEvent,
	})
	b := &bounds{server: s}
	b.reach(t, "statements", "value", b.get(t, "too.many.statements"))
	b.reach(t, "handles", "value", b.get(t, "too.many.handles"))
	b.reach(t, "host_calls", "host_calls", b.get(t, "too.many.host_calls"))
	b.reach(t, "memory_bytes", "guest_memory", b.get(t, "too.many.memory"))
	b.reach(t, "stack_bytes", "guest_stack", b.get(t, "too.many.stack"))
	b.reach(t, "guest_log_lines", "value", b.get(t, "too.many.lines"))
	b.reach(t, "guest_log_bytes", "value", b.get(t, "too.many.bytes"))
	b.reach(t, "module_bytes", "", func() (int, string) {
		s.Write(t, filepath.Join("tenants", "acme", "large.wasm"), make([]byte, 65<<10))
		return 0, (<-failed).Err.Error()
	})
	b.all(t)
}

// slowly is a plugin of slow SQL: a query for each id, a query behind a slow policy,
// and a mutation.
func slowly() []byte {
	slow, one, touch, policy, large := 0, 1, 2, 3, 4
	id := []abi.Field{{Name: "id", Schema: abi.Schema{Type: "integer"}}}
	open := abi.Access{Public: true}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select a.id from items a, generate_series(1, 100000000 + $id) g group by a.id order by a.id`},
			{SQL: `select id, title from items where id = $id order by id`},
			{SQL: `update items set title = title where id = $id`},
			{SQL: `select count(*) > 0 as allow from generate_series(1, 100000000) g`},
			{SQL: `select id, repeat('x', 3900000 + $id) as title from items where id = 1`},
		},
		Functions: []abi.Function{
			{Name: "slow.query", Kind: abi.Query, Fields: id, Statement: &slow, Access: open},
			{Name: "slow.one", Kind: abi.Query, Fields: id, Statement: &one, Access: open},
			{Name: "slow.large", Kind: abi.Query, Fields: id, Statement: &large, Access: open},
			{Name: "slow.touch", Kind: abi.Mutation, Fields: id, Statement: &touch, Access: open},
			{Name: "slow.behind", Kind: abi.Query, Fields: id, Statement: &one, Access: abi.Access{Policies: []string{"slow.policy"}}},
			{Name: "slow.policy", Kind: abi.Policy, Statement: &policy},
		},
	}
	return guest("slow", m, nil, wasmtest.Unreachable())
}

// TestBoundsOfWork: W6, W7. Deadlines, and what waits.
// Cases: 33, 52, 115.
func TestBoundsOfWork(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{
		TOML: twoTenants + `[tenant.acme.limits]
query_timeout = "1s"
policy_timeout = "300ms"
mutation_timeout = "2s"
connections = 2
executions = 2
first_runs = 3
`,
		Tenants: map[string]hosttest.Tenant{"acme": {Modules: map[string][]byte{"slow.wasm": slowly()}}},
	})
	b := &bounds{server: s}
	b.reach(t, "query_timeout", "deadline", b.get(t, "slow.query?id=1"))
	b.reach(t, "policy_timeout", "unavailable", b.get(t, "slow.behind?id=1"))
	together := func(n int, ask func(i int) (int, string)) func() (int, string) {
		return func() (status int, text string) {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					if got, said := ask(i); i == 0 {
						status, text = got, said
					}
				})
			}
			all.Wait()
			return status, text
		}
	}
	locked, err := s.DB.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Exec(t.Context(), `update acme.items set title = title where id = 1`); err != nil {
		t.Fatal(err)
	}
	touch := together(4, func(int) (int, string) {
		return onHost(t, http.MethodPost, s.URL+"/t/acme/v1/call/slow.touch", "acme.test", tokenOf(t, "acme"), `{"id":1}`)
	})
	b.reach(t, "connections", "deadline", touch)
	b.reach(t, "mutation_timeout", "deadline", touch)
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.reach(t, "executions", "deadline", together(6, func(i int) (int, string) { return b.get(t, fmt.Sprintf("slow.query?id=%d", 10+i))() }))
	b.reach(t, "first_runs", "rows", together(12, func(i int) (int, string) { return b.get(t, fmt.Sprintf("slow.one?id=%d", 100+i))() }))
	b.all(t)
}

// TestBoundsOfClients: W6. What one client, or all of a tenant's, may hold.
func TestBoundsOfClients(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{
		TOML: strings.Replace(twoTenants, "[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n", 1) + `[tenant.acme.limits]
groups = 12
principal_groups = 3
principal_subscriptions = 9
principal_sessions = 1
address_sessions = 1
anonymous_sessions = 20
sessions = 7
write_timeout = "500ms"
write_rate = "1 GiB"
`,
		Tenants: map[string]hosttest.Tenant{"acme": {Modules: map[string][]byte{"slow.wasm": slowly()}}},
	})
	b := &bounds{server: s}
	subs := func(query string, from, n int) string {
		var list []string
		for i := from; i < from+n; i++ {
			list = append(list, fmt.Sprintf(`{"id":%d,"q":%q,"args":{"id":%d}}`, i, query, i))
		}
		return `{"subs":[` + strings.Join(list, ",") + `]}`
	}
	url := s.URL + "/t/acme/v1/stream"
	post := func(token, body string, headers ...string) func() (int, string) {
		return func() (int, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text := make([]byte, 4<<10)
			n, _ := resp.Body.Read(text) // a refusal, or the beginning of a stream
			return resp.StatusCode, string(text[:n])
		}
	}
	ann := tokenOf(t, "acme")
	b.reach(t, "id_bytes", "bad_request", post("", `{"subs":[{"id":"`+strings.Repeat("x", 300)+`","q":"slow.one"}]}`))
	b.reach(t, "principal_subscriptions", "limit", post(ann, subs("slow.one", 1, 10)))
	b.reach(t, "principal_groups", "limit", func() (int, string) {
		stream := session(t, url, ann, subs("slow.one", 1, 4))
		e := stream.next(t, func(e event) bool { return e.kind == "problem" })
		return 0, e.data
	})
	b.reach(t, "principal_sessions", "limit", post(ann, `{"subs":[]}`)) // the first one is open
	from := []string{"X-Forwarded-For", "198.51.100.7"}
	one := opened(t, url, from...)
	b.reach(t, "address_sessions", "limit", post("", `{"subs":[]}`, from...))
	one()
	b.reach(t, "write_rate", "", func() (int, string) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		body := subs("slow.large", 1, 6)
		fmt.Fprintf(conn, "POST /t/acme/v1/stream HTTP/1.1\r\nHost: acme.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		db := s.DB.Conn(t)
		for reached(t, s, "acme", "write_rate") == 0 { // until the test's own deadline
			if _, err := db.Exec(t.Context(), `select pg_sleep(0.05)`); err != nil {
				t.Fatal(err)
			}
		}
		return 0, ""
	})
	b.reach(t, "groups", "limit", func() (int, string) {
		stream := session(t, url, "", subs("slow.one", 50, 20))
		e := stream.next(t, func(e event) bool { return e.kind == "problem" })
		return 0, e.data
	})
	b.reach(t, "sessions", "limit", func() (int, string) {
		for range 5 {
			defer opened(t, url)()
		}
		return post("", `{"subs":[]}`)()
	})
	b.all(t)
}

// opened opens a stream of nobody's without subscriptions.
func opened(t *testing.T, url string, headers ...string) (end func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"subs":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("a stream: %s", resp.Status)
	}
	return func() { resp.Body.Close() }
}
