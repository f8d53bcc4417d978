package host_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

const counters = `create table counters (id int primary key, n int not null, note text not null default '');
	insert into counters values (1, 0), (2, 0);
	create table bans (user_id text primary key);`

// writer assembles a plugin of mutations that are one statement each.
func writer(statements ...statement) []byte {
	var m abi.Manifest
	for i, s := range statements {
		index := i
		m.Statements = append(m.Statements, abi.Statement{SQL: s.sql})
		f := abi.Function{Name: s.name, Kind: abi.Mutation, Statement: &index, Access: abi.Access{Public: true}}
		for _, field := range s.fields {
			f.Fields = append(f.Fields, abi.Field{Name: field, Schema: abi.Schema{Type: "integer"}})
		}
		m.Functions = append(m.Functions, f)
	}
	return guest("counters", m, nil, wasmtest.Unreachable())
}

var add = statement{name: "counters.add", sql: `update counters set n = n + 1 where id = $id returning n`, fields: []string{"id"}}

// number reads one number as the owner.
func number(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// TestMutationOfOneStatement: its rows or their number, and a tx only if
// something was written (F11).
func TestMutationOfOneStatement(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\n[limits]\nresult_bytes = \"64 KiB\"\n", Schema: counters,
		Modules: map[string][]byte{"counters.wasm": writer(add,
			statement{name: "counters.clear", sql: `update counters set n = 0`},
			statement{name: "counters.none", sql: `update counters set n = 7 where id = -1`},
			statement{name: "counters.read", sql: `select n from counters where id = $id`, fields: []string{"id"}},
			statement{name: "counters.big", sql: `update counters set note = repeat('x', 100000) where id = 1 returning note`},
		)},
	})
	call := func(name, body string) (int, map[string]any) { return post(t, s.URL+"/v1/call/"+name, body) }
	if status, a := call("counters.add", `{"id":1}`); status != 200 || a["tx"] == nil ||
		a["result"].([]any)[0].(map[string]any)["n"] != float64(1) {
		t.Errorf("add: %d %v", status, a)
	}
	if status, a := call("counters.clear", `{}`); status != 200 || a["result"] != float64(2) || a["tx"] == nil {
		t.Errorf("clear: %d %v", status, a)
	}
	if status, a := call("counters.none", `{}`); status != 200 || a["result"] != float64(0) || a["tx"] != nil {
		t.Errorf("nothing written: %d %v", status, a)
	}
	if status, a := call("counters.read", `{"id":1}`); status != 200 || a["tx"] != nil {
		t.Errorf("nothing but a read: %d %v", status, a)
	}
	conn := s.DB.Conn(t)
	if status, a := call("counters.big", `{}`); a["code"] != string(abi.ResultTooLarge) ||
		number(t, conn, `select length(note) from counters where id = 1`) != 0 {
		t.Errorf("a result that is too large: %d %v; it must write nothing", status, a)
	}
	if status, a := call("counters.add", `{"id":"1"}`); status != 400 {
		t.Errorf("a wrong argument: %d %v", status, a)
	}
	if status, a := get(t, s.URL+"/v1/q/counters.add?id=1"); status != 404 || !strings.Contains(a["message"].(string), "POST /v1/call/counters.add") {
		t.Errorf("a mutation asked for as a query: %d %v", status, a)
	}
}

// TestMutationRollsBackWithItsFunction: an error, a trap and a result that is
// not one undo what was written, also when the guest has closed its eyes to a
// statement that failed.
func TestMutationRollsBackWithItsFunction(t *testing.T) {
	t.Parallel()
	refusal := abi.AppendError(nil, &abi.Error{Code: "enough", Message: "that is enough", Public: true})
	hidden := abi.AppendError(nil, &abi.Error{Code: "secret", Message: "password is x"})
	exec := func(statement int32) []byte {
		return wasmtest.Join(wasmtest.I32(statement), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(fnExec), wasmtest.Drop())
	}
	m := abi.Manifest{Statements: []abi.Statement{
		{SQL: `update counters set n = n + 1`}, {SQL: `insert into counters (id, n) values (1, 1)`},
	}}
	var bodies [][]byte
	f := func(name string, body ...[]byte) {
		m.Functions = append(m.Functions, abi.Function{Name: name, Kind: abi.Mutation, Access: abi.Access{Public: true}, Uses: []int{0, 1}})
		bodies = append(bodies, wasmtest.Join(body...))
	}
	f("ok", exec(0), wasmtest.Pack(abi.TagNone, 0, 0))
	f("refuses", exec(0), wasmtest.Pack(abi.TagError, wasmtest.DataAt, uint32(len(refusal))))
	f("hides", exec(0), wasmtest.Pack(abi.TagError, wasmtest.DataAt+uint32(len(refusal)), uint32(len(hidden))))
	f("traps", exec(0), wasmtest.Unreachable())
	f("garbage", exec(0), wasmtest.Pack(abi.TagValue, wasmtest.DataAt, 3))
	f("loops", exec(0), wasmtest.Forever(nil), wasmtest.Unreachable())
	f("ignores", exec(0), exec(1), wasmtest.Pack(abi.TagNone, 0, 0))
	s := hosttest.Start(t, hosttest.Config{
		Schema:  counters,
		Modules: map[string][]byte{"g.wasm": guest("g", m, append(append([]byte(nil), refusal...), hidden...), bodies...)},
	})
	conn := s.DB.Conn(t)
	g := func(name string, status int, code string) {
		t.Helper()
		got, a := post(t, s.URL+"/v1/call/"+name, `{}`)
		if got != status || a["code"] != code || strings.Contains(a["message"].(string), "password") {
			t.Errorf("%s: %d %v, want %d %s", name, got, a, status, code)
		}
		if n := number(t, conn, `select max(n) from counters`); n != 1 {
			t.Errorf("%s wrote: n is %d", name, n)
		}
	}
	if status, a := post(t, s.URL+"/v1/call/ok", `{}`); status != 200 || a["tx"] == nil || a["result"] != nil {
		t.Fatalf("ok: %d %v", status, a)
	}
	g("refuses", 422, "enough")
	g("hides", 500, string(abi.Internal))
	g("traps", 500, string(abi.GuestTrap))
	g("garbage", 500, string(abi.GuestContract))
	g("loops", 504, string(abi.Deadline))
	g("ignores", 500, string(abi.SQLError))
}

// TestViolationNamesItsConstraint: what the tables do not allow is told by the
// name that their author gave it, never by what the rows hold. It is the same for
// a statement and for a guest that hands on what it got; what a guest says to the
// client itself stands.
// Cases: 56.
func TestViolationNamesItsConstraint(t *testing.T) {
	t.Parallel()
	own := abi.AppendError(nil, &abi.Error{Code: "taken", Message: "that name is taken", Public: true})
	hands := abi.AppendError(nil, &abi.Error{Code: abi.SQLError, Message: "secret 4711"})
	m := abi.Manifest{Statements: []abi.Statement{
		{SQL: `insert into notes (id, body) values (1, 'secret 4711')`},
		{SQL: `insert into notes (id, body) values (2, 'secret 4711' || repeat('x', 100))`},
		{SQL: `insert into notes (id, body) values (4711, null)`},
		{SQL: `insert into notes (id, body, parent) values (3, 'secret', 4711)`},
		{SQL: `insert into notes (id, body, late) values (4, 'secret', 4711)`},
		{SQL: `delete from notes where id = 5 and body <> 'secret 4711'`},
		{SQL: `insert into stays values (6, '[4711,4712]')`},
		{SQL: `select 1 / (id - 1) as x from notes where body like 'secret%'`},
	}}
	var bodies [][]byte
	add := func(f abi.Function, body ...[]byte) {
		f.Kind, f.Access = abi.Mutation, abi.Access{Public: true}
		m.Functions, bodies = append(m.Functions, f), append(bodies, wasmtest.Join(body...))
	}
	exec := func(n int) []byte {
		return wasmtest.Join(wasmtest.I32(int32(n)), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(fnExec), wasmtest.Drop())
	}
	for i := range m.Statements {
		index := i
		add(abi.Function{Name: fmt.Sprintf("statement%d", i), Statement: &index}, wasmtest.Unreachable())
		add(abi.Function{Name: fmt.Sprintf("guest%d", i), Uses: []int{i}},
			exec(i), wasmtest.Pack(abi.TagError, wasmtest.DataAt+uint32(len(own)), uint32(len(hands))))
	}
	add(abi.Function{Name: "own", Uses: []int{0}}, exec(0), wasmtest.Pack(abi.TagError, wasmtest.DataAt, uint32(len(own))))
	s := hosttest.Start(t, hosttest.Config{
		Schema: `create table notes (id int primary key, body text not null constraint short check (length(body) < 100),
				parent int references notes, late int constraint later references notes deferrable initially deferred);
			insert into notes values (1, 'secret 4711', null), (5, 'x', null), (6, 'y', 5);
			create table stays (room int, days int4range, constraint apart exclude using gist (days with &&));
			insert into stays values (5, '[4700,4720]');`,
		Modules: map[string][]byte{"g.wasm": guest("g", m, append(append([]byte(nil), own...), hands...), bodies...)},
	})
	f := func(name, want string) {
		t.Helper()
		status, a := post(t, s.URL+"/v1/call/"+name, `{}`)
		message, _ := a["message"].(string)
		if status != 500 || a["code"] != string(abi.SQLError) || !strings.Contains(message, want) || a["retryable"] != nil ||
			strings.Contains(message, "4711") || strings.Contains(message, "secret") {
			t.Errorf("%s: %d %v, want %s", name, status, a, want)
		}
	}
	for i, want := range []string{
		"already (constraint notes_pkey)", "(constraint short)", "(column body)", "(constraint notes_parent_fkey)",
		"", "(constraint notes_parent_fkey)", "(constraint apart)", "the server's log says why",
	} {
		f(fmt.Sprintf("statement%d", i), cmp.Or(want, "(constraint later)"))
		if want != "" { // the fifth fails in COMMIT, when the guest is done
			f(fmt.Sprintf("guest%d", i), want)
		}
	}
	if status, a := post(t, s.URL+"/v1/call/own", `{}`); status != 422 || a["code"] != "taken" || a["message"] != "that name is taken" {
		t.Errorf("own: %d %v", status, a)
	}
}

// blocked waits until SQL of a plugin waits for a lock in a transaction that
// began after a time, and returns when it began.
func blocked(t *testing.T, conn *pgx.Conn, after time.Time) time.Time {
	t.Helper()
	for range 500 {
		var began time.Time
		err := conn.QueryRow(t.Context(), `select xact_start from pg_stat_activity where usename = 'weir_guest'
			and datname = current_database() and wait_event_type = 'Lock' and xact_start > $1`, after).Scan(&began)
		if err == nil {
			return began
		}
		if _, err := conn.Exec(t.Context(), `select pg_sleep(0.02)`); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no statement of the plugin waits")
	return time.Time{}
}

// later runs a call beside the test.
func later(t *testing.T, url, body string) func() (int, map[string]any) {
	t.Helper()
	type outcome struct {
		resp *http.Response
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		resp, err := http.Post(url, "application/json", strings.NewReader(body))
		done <- outcome{resp, err}
	}()
	return func() (int, map[string]any) {
		t.Helper()
		o := <-done
		if o.err != nil {
			t.Fatal(o.err)
		}
		return decode(t, o.resp)
	}
}

// TestConflictIsTriedAgain: a mutation that loses against another write runs
// again on the new state.
func TestConflictIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: counters, Modules: map[string][]byte{"counters.wasm": writer(add)}})
	conn, other := s.DB.Conn(t), s.DB.Conn(t)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `update counters set n = 10 where id = 1`); err != nil {
		t.Fatal(err)
	}
	wait := later(t, s.URL+"/v1/call/counters.add", `{"id":1}`)
	blocked(t, conn, time.Time{})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, a := wait(); status != 200 || a["result"].([]any)[0].(map[string]any)["n"] != float64(11) {
		t.Errorf("got %d %v", status, a)
	}
}

// TestMutationEndedInCommitRunsAgain: F11. The connection is lost in COMMIT; the
// server says that the transaction is not committed, so the mutation may run
// again.
// Cases: 94.
func TestMutationEndedInCommitRunsAgain(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Schema: counters + `create sequence cuts;
			create function cut() returns trigger security definer language plpgsql as $$ begin
				if nextval('cuts') < 3 then perform pg_terminate_backend(pg_backend_pid()); end if;
				return null;
			end $$;
			create constraint trigger cut after update on counters deferrable initially deferred for each row execute function cut();`,
		Modules: map[string][]byte{"counters.wasm": writer(add)},
	})
	if status, a := post(t, s.URL+"/v1/call/counters.add", `{"id":1}`); status != 200 || a["tx"] == nil ||
		a["result"].([]any)[0].(map[string]any)["n"] != float64(1) {
		t.Errorf("got %d %v", status, a)
	}
	conn := s.DB.Conn(t)
	if n := number(t, conn, `select n from counters where id = 1`); n != 1 {
		t.Errorf("n is %d, want 1", n)
	}
	if n := number(t, conn, `select last_value from cuts`); n != 3 {
		t.Errorf("it was committed %d times, want 3", n)
	}
}

// TestFirstMutationAfterDDLSucceeds: R4. The statements that a connection has
// prepared are stale, and nobody has read the change log yet.
func TestFirstMutationAfterDDLSucceeds(t *testing.T) {
	t.Parallel()
	zero := 0
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: `update counters set n = n + 1 where id = 1 returning *`}},
		Functions:  []abi.Function{{Name: "statement", Statement: &zero}, {Name: "guest", Uses: []int{0}}},
	}
	for i := range m.Functions {
		m.Functions[i].Kind, m.Functions[i].Access = abi.Mutation, abi.Access{Public: true}
	}
	exec := wasmtest.Join(wasmtest.I32(0), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(fnExec), wasmtest.Put(2))
	s := hosttest.Start(t, hosttest.Config{
		Schema: counters, Modules: map[string][]byte{"g.wasm": guest("g", m, nil, wasmtest.Unreachable(), wasmtest.Join(exec, rows()))},
	})
	for i := range 10 {
		s.SQL(t, fmt.Sprintf(`alter table counters add column c%d int`, i))
		name := m.Functions[i%2].Name
		if status, a := post(t, s.URL+"/v1/call/"+name, `{}`); status != 200 {
			t.Errorf("%s after a new column: %d %v", name, status, a)
		}
	}
	if n := number(t, s.DB.Conn(t), `select n from counters where id = 1`); n != 10 {
		t.Errorf("n is %d, want 10", n)
	}
}

// TestConflictThreeTimesIsTold: the caller may try again; nothing is written. Who
// gets a row first after a lock is left to chance, so a trigger stands for the
// other writers; a sequence counts the tries, which are undone.
func TestConflictThreeTimesIsTold(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Modules: map[string][]byte{"counters.wasm": writer(add)}, Schema: counters + `
		create sequence tries;
		create table patience (n int); insert into patience values (3);
		create function lose() returns trigger language plpgsql security definer as $$ begin
			if nextval('tries') <= (select n from patience) then
				raise exception 'could not serialize access' using errcode = 'serialization_failure';
			end if;
			return new;
		end $$;
		create trigger lose before update on counters for each row execute function lose()`})
	conn := s.DB.Conn(t)
	f := func(status int, code string, n, tries int) {
		t.Helper()
		got, a := post(t, s.URL+"/v1/call/counters.add", `{"id":1}`)
		if got != status || code != "" && (a["code"] != code || a["retryable"] != true) {
			t.Errorf("got %d %v, want %d %s", got, a, status, code)
		}
		if have := number(t, conn, `select n from counters where id = 1`); have != n {
			t.Errorf("n is %d, want %d", have, n)
		}
		if have := number(t, conn, `select last_value from tries`); have != tries {
			t.Errorf("it was tried %d times, want %d", have, tries)
		}
	}
	f(409, string(abi.Conflict), 0, 3)
	f(200, "", 1, 4)
	s.SQL(t, `update patience set n = 6`)
	f(200, "", 2, 7) // the third try succeeds
}

// TestPolicyOfAMutationReadsInItsTransaction: F11, and R9 there: rows of a table
// that is truncated and filled again are missing from neither state.
func TestPolicyOfAMutationReadsInItsTransaction(t *testing.T) {
	t.Parallel()
	zero, one := 0, 1
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `update counters set n = n + 1 where id = 1`},
			{SQL: `select 1 where not exists (select from bans where user_id = $me)`},
		},
		Functions: []abi.Function{
			{Name: "add", Kind: abi.Mutation, Statement: &zero, Access: abi.Access{Policies: []string{"free"}}},
			{Name: "free", Kind: abi.Policy, Statement: &one, Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}}},
		},
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema:  counters + `insert into bans values ('bob');`,
		Modules: map[string][]byte{"g.wasm": guest("g", m, nil, wasmtest.Unreachable())},
	})
	waves := metric(t, s, "weir_db_waves_total")
	if status, a := post(t, s.URL+"/v1/call/add?as=ann", `{}`); status != 200 {
		t.Errorf("ann: %d %v", status, a)
	}
	if status, a := post(t, s.URL+"/v1/call/add?as=bob", `{}`); status != 403 || a["code"] != "denied" {
		t.Errorf("bob: %d %v", status, a)
	}
	if now := metric(t, s, "weir_db_waves_total"); now != waves {
		t.Errorf("%v policies were read in transactions of their own", now-waves)
	}
	// What was decided before is no answer now.
	s.SQL(t, `insert into bans values ('ann')`)
	if status, _ := post(t, s.URL+"/v1/call/add?as=ann", `{}`); status != 403 {
		t.Errorf("ann is banned and wrote: %d", status)
	}
	conn, other := s.DB.Conn(t), s.DB.Conn(t)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `truncate bans`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `insert into bans values ('bob')`); err != nil {
		t.Fatal(err)
	}
	wait := later(t, s.URL+"/v1/call/add?as=bob", `{}`)
	blocked(t, conn, time.Time{})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, a := wait(); status != 403 {
		t.Errorf("bob was banned before and after, and wrote between: %d %v", status, a)
	}
	if n := number(t, conn, `select n from counters where id = 1`); n != 1 {
		t.Errorf("n is %d, want 1", n)
	}
}

// TestPolicyOfAMutationThatFailsIsUnknown: F4, F11. Whatever is wrong with it, the
// client is told to try again and nothing of the policy, and nothing is written.
func TestPolicyOfAMutationThatFailsIsUnknown(t *testing.T) {
	t.Parallel()
	add, divides, slow := 0, 1, 2
	m := abi.Manifest{Statements: []abi.Statement{
		{SQL: `update counters set n = n + 1 where id = 1`},
		{SQL: `select 10 / n > 0 as allow from counters where id = 1`},
		{SQL: `select count(*) > 0 as allow from generate_series(1, 100000000) g`},
	}}
	bodies := [][]byte{
		wasmtest.Unreachable(), wasmtest.Join(wasmtest.Forever(nil), wasmtest.Unreachable()),
		constant(1), // no decision
		wasmtest.Pack(abi.TagError, wasmtest.DataAt+1, 0),
	}
	names := []string{"traps", "loops", "garbage", "refuses", "divides", "slow"}
	for i, name := range names {
		f := abi.Function{Name: name, Kind: abi.Policy}
		if i >= len(bodies) {
			f.Statement = []*int{&divides, &slow}[i-len(bodies)]
		}
		m.Functions = append(m.Functions, f)
	}
	names = append(names, "absent")
	for _, name := range names {
		access := abi.Access{Policies: []string{name}}
		if name == "absent" {
			access.Policies[0] = "other/absent"
		}
		m.Functions = append(m.Functions, abi.Function{Name: "add." + name, Kind: abi.Mutation, Statement: &add, Access: access})
	}
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\n[limits]\nguest_timeout = \"50ms\"\npolicy_timeout = \"500ms\"\nbreaker_failures = 0\n",
		Schema: counters, Modules: map[string][]byte{"g.wasm": guest("g", m, []byte{1}, bodies...)},
	})
	for _, name := range names {
		status, a := post(t, s.URL+"/v1/call/add."+name, `{}`)
		if status != 503 || a["code"] != "unavailable" || a["retryable"] != true || a["message"] != "access cannot be decided now: try again later" {
			t.Errorf("%s: %d %v", name, status, a)
		}
	}
	if n := number(t, s.DB.Conn(t), `select n from counters where id = 1`); n != 0 {
		t.Errorf("n is %d, want 0", n)
	}
	for _, limit := range []string{"guest_timeout", "policy_timeout"} {
		if reached(t, s, "default", limit) != 1 {
			t.Errorf("%s was not counted", limit)
		}
	}
}

// TestConcurrentMutationsLoseNothing: read-modify-write by many at once.
func TestConcurrentMutationsLoseNothing(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: counters, Modules: map[string][]byte{"counters.wasm": writer(add)}})
	var mu sync.Mutex // protects the field below
	done := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				resp, err := http.Post(s.URL+"/v1/call/counters.add", "application/json", strings.NewReader(`{"id":1}`))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case 200:
					mu.Lock()
					done++
					mu.Unlock()
				case 409: // told, and not written
				default:
					t.Errorf("status %s", resp.Status)
				}
			}
		})
	}
	all.Wait()
	if n := number(t, s.DB.Conn(t), `select n from counters where id = 1`); n != done || n == 0 {
		t.Errorf("n is %d after %d mutations that succeeded", n, done)
	}
}
