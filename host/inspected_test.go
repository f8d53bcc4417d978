package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/db"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// mutating assembles a plugin whose only function is a mutation of one statement.
func mutating(sql string) []byte {
	first := 0
	m := abi.Manifest{
		ABI: abi.Version, Name: "m", Version: "1", Statements: []abi.Statement{{SQL: sql}},
		Functions: []abi.Function{{Name: "m.do", Kind: abi.Mutation, Access: abi.Access{Public: true}, Statement: &first}},
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m), Call: wasmtest.Unreachable()}.Bytes()
}

// TestStatementsOfSandboxedPluginsAreInspected: nothing else would look at what a
// mutation calls. The sentence names function and statement; the operator's own
// plugins are not asked.
func TestStatementsOfSandboxedPluginsAreInspected(t *testing.T) {
	t.Parallel()
	const sandboxed = "trust = \"sandboxed\"\ngrant = [\"public\"]\nsql.functions = [\"public.listed\"]\n"
	const schema = todos + `; create function listed() returns text language sql as 'select ''x'''`
	f := func(name, toml, sql, want string, uninspected bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, onEvent := failures()
			s := hosttest.Start(t, hosttest.Config{
				TOML: "plugins = \"plugins\"\n" + toml, Schema: schema, Modules: map[string][]byte{"m.wasm": mutating(sql)},
				Event: onEvent, Uninspected: uninspected, Late: uninspected,
			})
			if want == "" {
				if len(failed) > 0 {
					t.Fatalf("refused: %v", (<-failed).Err)
				}
				if status, a := post(t, s.URL+"/v1/call/m.do", "{}"); status != 200 {
					t.Errorf("%d %v", status, a)
				}
				return
			}
			if uninspected { // it is tried again and again, and never served
				if status, a := post(t, s.URL+"/v1/call/m.do", "{}"); status != 404 && status != 503 {
					t.Errorf("%d %v", status, a)
				}
				return
			}
			if e := <-failed; !strings.Contains(e.Err.Error(), want) {
				t.Errorf("the refusal %q does not say %q", e.Err, want)
			}
		})
	}
	const setting = `update todos set title = set_config('app.tenant', 'peer', true) where id = 1`
	f("refused", sandboxed, setting, "m.do: statement 0 calls set_config(), which touches the session", false)
	f("allowed", sandboxed, `update todos set title = upper(title) || clock_timestamp() where id = 1`, "", false)
	f("listed function", sandboxed, `update todos set title = listed() where id = 1`, "", false)
	f("catalog", sandboxed, `delete from todos where title in (select rolname from pg_roles)`, "reads the catalog (pg_roles)", false)
	f("weir's log", sandboxed, `insert into weir.log (slot, rel, op) values (0, 0, 'X')`, "writes into weir's own tables", false)
	f("trusted", "", setting, "", false)
	f("no inspection", sandboxed, setting, "nothing", true)
}

// TestFragmentsAreInspectedToo: each text that a statement may become.
func TestFragmentsAreInspectedToo(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	first, id := 0, abi.Field{Name: "t", Schema: abi.Schema{Type: "string", Optional: true}}
	m := abi.Manifest{
		ABI: abi.Version, Name: "m", Version: "1",
		Statements: []abi.Statement{{SQL: `delete from todos where id = 7 {and title = $t || current_setting('port')}`}},
		Functions:  []abi.Function{{Name: "m.do", Kind: abi.Mutation, Access: abi.Access{Public: true}, Statement: &first, Fields: []abi.Field{id}}},
	}
	hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\ntrust = \"sandboxed\"\ngrant = [\"public\"]\n", Schema: todos, Event: onEvent,
		Modules: map[string][]byte{"m.wasm": wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m), Call: wasmtest.Unreachable()}.Bytes()},
	})
	if e := <-failed; !strings.Contains(e.Err.Error(), "calls current_setting()") {
		t.Errorf("got %v", e.Err)
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
	t.Cleanup(func() { s.DB.Exec(t, "select weir.tenant_dismiss('"+role+"'); drop owned by "+role+"; drop role "+role) })
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
