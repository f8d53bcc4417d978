package host_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// canary is in rows that nobody who calls may read.
const canary = "canary-4711"

// W8: what PostgreSQL says of a statement that fails names values of rows. Clients
// get a code and a public text, by every way in which an error reaches them.
// Cases: 56.
func TestErrorsTellNoValues(t *testing.T) {
	t.Parallel()
	const schema = `create table safe (id int primary key, body text not null unique, n int check (n < 10));
		insert into safe values (1, '` + canary + `', 1), (2, '` + canary + ` too', 2);`
	var m abi.Manifest
	var bodies [][]byte
	add := func(kind abi.Kind, name, sql string, guest []byte) {
		index := len(m.Statements)
		m.Statements = append(m.Statements, abi.Statement{SQL: sql})
		f := abi.Function{Name: name, Kind: kind, Access: abi.Access{Public: true}, Statement: &index}
		if kind == abi.Policy {
			f.Access = abi.Access{}
		}
		if guest != nil {
			f.Statement, f.Uses = nil, []int{index}
		}
		if guest == nil {
			guest = wasmtest.Unreachable()
		}
		m.Functions, bodies = append(m.Functions, f), append(bodies, guest)
	}
	failing := map[string]string{
		"number": `select id, body::int as n from safe order by id`,
		"date":   `select id, body::date as d from safe order by id`,
		"json":   `select id, body::jsonb as j from safe order by id`,
		"uuid":   `select id, body::uuid as u from safe order by id`,
		"regex":  `select id, body ~ ('[' || body) as r from safe order by id`,
		"array":  `select id, body::int[] as a from safe order by id`,
		"many":   `select id, (select body from safe) as b from safe order by id`,
		"bits":   `select id, body::bit(4)::text as b from safe order by id`,
		"format": `select id, format('%' || body, 1) as f from safe order by id`,
	}
	for name, sql := range failing {
		add(abi.Query, "q."+name, sql, nil)
		add(abi.Query, "g."+name, sql, wasmtest.Join(pose(int32(len(m.Statements))), look(), rows()))
		add(abi.Policy, "p."+name, strings.Replace(sql, "select id,", "select true as allow,", 1), nil)
		add(abi.Query, "guarded."+name, `select id from safe order by id`, nil)
		m.Functions[len(m.Functions)-1].Access = abi.Access{Policies: []string{"p." + name}}
	}
	for name, sql := range map[string]string{
		"unique": `insert into safe values (3, '` + canary + `', 1)`, "cast": `update safe set n = body::int`,
		"check": `update safe set n = 10 + length(body)`, "key": `insert into safe select id, body || 'x', n from safe`,
	} {
		add(abi.Mutation, "m."+name, sql, nil)
	}
	m.ABI, m.Name, m.Version = abi.Version, "leaky", "1"
	code := guest("leaky", m, nil, bodies...)
	s := hosttest.Start(t, hosttest.Config{Schema: schema, Modules: map[string][]byte{"leaky.wasm": code}})
	told := func(name, text string) {
		t.Helper()
		if strings.Contains(text, "canary") || strings.Contains(text, "4711") || strings.Contains(text, "SQLSTATE") {
			t.Errorf("%s tells %s", name, text)
		}
	}
	failures := 0
	for name := range failing {
		for _, kind := range []string{"q.", "g.", "guarded."} {
			resp, err := http.Get(s.URL + "/v1/q/" + kind + name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode >= 400 {
				failures++
			}
			told(kind+name, string(text))
		}
		stream := watch(t, s.URL+"/v1/q/g."+name)
		for range 2 { // the state, and its problem
			told("a stream of g."+name, (<-stream.events).data)
		}
	}
	for _, name := range []string{"unique", "cast", "check", "key"} {
		status, answer := post(t, s.URL+"/v1/call/m."+name, `{}`)
		if status < 400 {
			t.Errorf("m.%s: %d %v", name, status, answer)
		}
		message, _ := answer["message"].(string)
		told("m."+name, message)
	}
	if failures < 2*len(failing) {
		t.Errorf("only %d of them fail: they prove nothing", failures)
	}
}

// W7, G9: a guest that looks at rows and then computes for ever holds a transaction
// and its connection until its own end, and no longer: with a single connection
// others are served after it, and nothing is left open on the server.
// Cases: 33, 53.
func TestGuestThatLoopsAfterItsQueryGivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	zero := 0
	m := abi.Manifest{Statements: allTodos, Functions: []abi.Function{public("hold.on", 0), public("hold.wait", 0), public("todos.all")}}
	m.Functions[2].Statement = &zero
	slow := abi.Statement{SQL: `select count(*) as n from generate_series(1, 1000000000) g`}
	m.Statements = append(m.Statements, slow)
	m.Functions[1].Uses = []int{0, 1}
	code := guest("hold", m, nil,
		wasmtest.Join(pose(0), look(), wasmtest.Forever(nil), wasmtest.Unreachable()),
		wasmtest.Join(pose(0), look(), pose(1), look(), rows()), wasmtest.Unreachable())
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"hold.wasm": code},
		TOML: "plugins = \"plugins\"\n[limits]\nconnections = 1\nguest_timeout = \"50ms\"\nquery_timeout = \"700ms\"\nbreaker_failures = 0\n",
	})
	for range 3 {
		for _, name := range []string{"hold.on", "hold.wait"} {
			if status, answer := get(t, s.URL+"/v1/q/"+name); answer["code"] != string(abi.Deadline) {
				t.Errorf("%s: %d %v", name, status, answer)
			}
		}
		if status, answer := get(t, s.URL+"/v1/q/todos.all"); status != 200 {
			t.Errorf("after them: %d %v", status, answer)
		}
	}
	conn := s.DB.Conn(t)
	end := time.Now().Add(20 * time.Second)
	for open := 1; open > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d transactions are still open", open)
		}
		if err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where usename = 'weir_guest' and datname = current_database() and (state = 'active' or state like 'idle in%')`).Scan(&open); err != nil {
			t.Fatal(err)
		}
	}
}
