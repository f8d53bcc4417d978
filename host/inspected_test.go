package host_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host"
	"weir/host/db"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// mutating assembles a plugin whose only function is a mutation of one statement.
func mutating(name, sql string) []byte {
	first := 0
	m := abi.Manifest{
		ABI: abi.Version, Name: name, Version: "1", Statements: []abi.Statement{{SQL: sql}},
		Functions: []abi.Function{{Name: name + ".do", Kind: abi.Mutation, Access: abi.Access{Public: true}, Statement: &first}},
	}
	if strings.Contains(sql, "$t") {
		m.Functions[0].Fields = []abi.Field{{Name: "t", Schema: abi.Schema{Type: "string", Optional: true}}}
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m), Call: wasmtest.Unreachable()}.Bytes()
}

const sandboxed = "plugins = \"plugins\"\ntrust = \"sandboxed\"\ngrant = [\"public\"]\nsql.functions = [\"public.listed\"]\n"

// setting is what nothing but the inspection would refuse in a mutation.
const setting = `update todos set title = set_config('app.tenant', 'peer', true) where id = 1`

// TestStatementsOfSandboxedPluginsAreInspected: nothing else would look at what a
// mutation calls. The sentence names function and statement.
func TestStatementsOfSandboxedPluginsAreInspected(t *testing.T) {
	t.Parallel()
	modules, want := map[string][]byte{}, map[string]string{}
	f := func(name, sql, says string) {
		modules[name+".wasm"] = mutating(name, sql)
		if says != "" {
			want[name+".wasm"] = says
		}
	}
	f("refused", setting, "refused.do: statement 0 calls set_config(), which touches the session")
	f("allowed", `update todos set title = upper(title) || clock_timestamp() where id = 1`, "")
	f("listed", `update todos set title = listed() where id = 1`, "")
	f("catalog", `delete from todos where title in (select rolname from pg_roles)`, "reads the catalog (pg_roles)")
	f("log", `insert into weir.log (slot, rel, op) values (0, 0, 'X')`, "writes into weir's own tables")
	f("fragment", `delete from todos where id = 7 {and title = $t || current_setting('port')}`, "calls current_setting()")
	var mu sync.Mutex
	got := map[string]string{}
	s := hosttest.Start(t, hosttest.Config{
		TOML: sandboxed, Schema: todos + `; create function listed() returns text language sql as 'select text ''x'''`, Modules: modules,
		Event: func(e host.Event) {
			if e.Kind == host.PluginFailed {
				mu.Lock()
				defer mu.Unlock()
				got[e.Name] = e.Err.Error()
			}
		},
	})
	mu.Lock()
	defer mu.Unlock()
	for name := range modules {
		says := want[name]
		if says == "" && got[name] != "" || !strings.Contains(got[name], says) {
			t.Errorf("%s: got %q, want %q", name, got[name], says)
		}
	}
	for _, function := range []string{"allowed.do", "listed.do"} {
		if status, a := post(t, s.URL+"/v1/call/"+function, "{}"); status != 200 {
			t.Errorf("%s: %d %v", function, status, a)
		}
	}
}

// TestTrustedPluginsAreNotInspected: their operator knows what they do, and a
// verdict takes seconds.
func TestTrustedPluginsAreNotInspected(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\n", Schema: todos, Modules: map[string][]byte{"m.wasm": mutating("m", setting)}, Uninspected: true,
	})
	if status, a := post(t, s.URL+"/v1/call/m.do", "{}"); status != 200 {
		t.Errorf("%d %v", status, a)
	}
}

// TestNothingIsServedWithoutInspection: where SQL cannot be inspected, plugins that
// are not the operator's own wait.
func TestNothingIsServedWithoutInspection(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML: sandboxed, Schema: todos, Modules: map[string][]byte{"m.wasm": mutating("m", setting)}, Uninspected: true, Late: true,
	})
	if status, a := post(t, s.URL+"/v1/call/m.do", "{}"); status != 404 && status != 503 {
		t.Errorf("%d %v", status, a)
	}
}

// TestDynamicSQLIsInspected, whosever the plugin is: the guest gets an error, and
// the result says so.
func TestDynamicSQLIsInspected(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\ngrant = [\"sql.dynamic\"]\n", Schema: todos,
		Modules: map[string][]byte{"d.wasm": dynamicSQL(`select id, title, current_user::text as who from todos order by id`)},
	})
	// The child may start for longer than the first call has time: then the verdict
	// is there for the next.
	for range 20 {
		status, a := get(t, s.URL+"/v1/q/notes.all")
		if status == 200 {
			t.Fatalf("it is served: %v", a)
		}
		if a["code"] == "sql_error" {
			break
		}
	}
	if n := metric(t, s, "weir_inspect_refused_total"); n == 0 {
		t.Error("nothing was refused")
	}
}

// TestRoleOfTenantInitHasJobs: it works for its tenant, and for no other.
func TestRoleOfTenantInitHasJobs(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: `create schema acme; create table acme.notes (id serial, body text)`})
	role := s.DB.Name + "_acme"
	t.Cleanup(func() {
		s.DB.Exec(t, "select weir.tenant_dismiss('"+role+"'); drop owned by "+role+"; drop role "+role)
	})
	made, err := db.MakeRole(t.Context(), s.DB.URL, db.RoleConfig{Role: role, Tenant: "acme", Schema: "acme", Write: []string{"notes"}, Public: true})
	if err != nil || len(made.Excess) > 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	conn, err := pgx.Connect(t.Context(), s.DB.As(role, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var tenant string
	if err := conn.QueryRow(t.Context(), `select weir.tenant() from (select weir.job_create('mail')) x`).Scan(&tenant); err != nil || tenant != "acme" {
		t.Errorf("%q, %v", tenant, err)
	}
	for _, sql := range []string{`select weir.tenant_admit('x', 'y')`, `insert into weir.jobs (kind) values ('x')`, `select * from weir.log`, `select * from weir.secret`} {
		if _, err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s works", sql)
		}
	}
}

// TestInspectionWaitsForDynamicSQL: it is started when such a plugin is loaded, not
// when its first statement comes with a caller.
func TestInspectionWaitsForDynamicSQL(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\ntrust = \"sandboxed\"\ngrant = [\"public\", \"sql.dynamic\"]\n",
		Schema: `create table notes (id int primary key, text text)`, Modules: map[string][]byte{"dynamic.wasm": dynamic(true)},
	})
	for metric(t, s, "weir_inspect_started_total") == 0 { // until the test's own deadline
	}
	if n := metric(t, s, "weir_inspect_asked_total"); n != 0 {
		t.Errorf("%v statements were inspected", n)
	}
}
