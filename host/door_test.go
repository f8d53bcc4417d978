package host_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

const badges = `create table badges (user_id text primary key, since timestamptz not null, until timestamptz not null);`

// holds asks the database, whose clock is the host's.
func holds(t *testing.T, conn *pgx.Conn, condition string) (ok bool) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `select exists (select from badges where user_id = 'bob' and `+condition+`)`).Scan(&ok); err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestAccessEndsByItself: DESIGN 6. A policy asks to be asked again at a time, as
// a statement with $now or in Go: access ends and begins then, without any change.
func TestAccessEndsByItself(t *testing.T) {
	t.Parallel()
	open := rule{"open", `select since <= $now as allow, case when since > $now then 'too early' else 'no badge' end as reason,
		case when since > $now then since else until end as wake_at from badges where user_id = $me and until > $now`}
	for name, cfg := range map[string]hosttest.Config{
		"statement": {Modules: map[string][]byte{"door.wasm": behind(open)}},
		"guest":     {Plugins: []string{"testdata/door"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Schema = club + badges
			s := hosttest.Start(t, cfg)
			conn := s.DB.Conn(t)
			nobody := "denied no badge"
			if name == "statement" {
				nobody = "denied open" // no row, no reason
			}
			bob := reads(t, s, "bob", "notes.list")
			bob.one(t, nobody)
			s.SQL(t, `insert into badges values ('bob', clock_timestamp() - interval '1 h', clock_timestamp() + interval '2.5 s')`)
			bob.one(t, "notes")
			bob.one(t, nobody)
			if holds(t, conn, `clock_timestamp() < until`) {
				t.Error("access ended before its time")
			}
			s.SQL(t, `insert into notes values (2, 1, 'acme', 'secret')`)
			// Too early: it begins by itself.
			s.SQL(t, `update badges set since = clock_timestamp() + interval '2.5 s', until = clock_timestamp() + interval '1 h'`)
			bob.one(t, "denied too early")
			bob.one(t, "notes")
			if holds(t, conn, `clock_timestamp() < since`) {
				t.Error("access began before its time")
			}
			// A change is heard of at once, whatever was asked for.
			s.SQL(t, `insert into notes values (3, 1, 'acme', 'third')`)
			if before := bob.shows(t, "third"); len(before) != 0 {
				t.Errorf("before the note: %v", before)
			}
			s.SQL(t, `delete from badges`)
			bob.one(t, nobody)
		})
	}
}

// fault is a policy of a guest that decides nothing.
type fault struct {
	name string
	body []byte
	data []byte
	why  string // the reason that the client is told; "" for any
}

func faults() []fault {
	bad := func(d abi.Decision) []byte { return abi.AppendDecision(nil, &d) }
	refusal := abi.AppendError(nil, &abi.Error{Code: "closed", Message: "closed today", Public: true})
	secret := abi.AppendError(nil, &abi.Error{Code: "secret", Message: "password is x"})
	value := func(name string, data []byte, why string) fault {
		return fault{name, constant(len(data)), data, why}
	}
	return []fault{
		{"trap", wasmtest.Unreachable(), nil, "guest_trap"},
		{"loop", wasmtest.Join(wasmtest.Forever(nil), wasmtest.Unreachable()), nil, "deadline"},
		{"none", wasmtest.Pack(abi.TagNone, 0, 0), nil, ""},
		{"outside", wasmtest.Pack(abi.TagValue, 1<<29, 64), nil, "guest_contract"},
		{"handle", wasmtest.Pack(abi.TagHandle, 7, 0), nil, "guest_contract"},
		{"rows", wasmtest.Join(pose(0), rows()), nil, ""},
		value("garbage", []byte{0xff, 0xff, 0xff}, ""),
		value("true", abi.Bool(true).AppendCBOR(nil), ""),
		value("nested", bad(abi.Decision{Allow: true, Scope: abi.Map([]string{"org"}, []abi.Value{abi.Array()})}), ""),
		value("typed", bad(abi.Decision{Allow: true, Scope: abi.Map([]string{"org"}, []abi.Value{abi.Int(7)})}), "unavailable"),
		value("unscoped", bad(abi.Decision{Allow: true}), "unavailable"),
		{"fails", wasmtest.Pack(abi.TagError, wasmtest.DataAt, uint32(len(refusal))), refusal, "closed"},
		{"hides", wasmtest.Pack(abi.TagError, wasmtest.DataAt, uint32(len(secret))), secret, "internal"},
	}
}

// door assembles a plugin of a query, of the org in the scope, behind a policy
// with a body.
func door(name string, body, data []byte) []byte {
	zero := 0
	text := abi.Schema{Type: "string"}
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: `select seq, body from notes where org = $org order by seq desc limit 20`, Key: []string{"seq"}}, {SQL: `select user_id from bans`}},
		Functions: []abi.Function{
			{Name: name + ".list", Kind: abi.Query, Statement: &zero, Scope: []abi.Field{{Name: "org", Schema: text}}, Access: abi.Access{Policies: []string{name + ".open"}}},
			{Name: name + ".open", Kind: abi.Policy, Uses: []int{1}},
		},
	}
	return guest(name, m, data, wasmtest.Unreachable(), body)
}

// TestPolicyThatIsBrokenDeliversNothing: F4, W5. Whatever a guest does instead of
// deciding: nothing is delivered, nobody is denied, it is tried again, and a
// plugin that is mended brings the rows.
// Cases: 34.
func TestPolicyThatIsBrokenDeliversNothing(t *testing.T) {
	t.Parallel()
	yes := abi.AppendDecision(nil, &abi.Decision{Allow: true, Scope: abi.Map([]string{"org"}, []abi.Value{abi.Text("acme")})})
	var mu sync.Mutex // protects the field below
	failed := map[string]int{}
	modules := map[string][]byte{}
	var subs []string
	list := faults()
	for i, f := range list {
		modules[f.name+".wasm"] = door(f.name, f.body, f.data)
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"%s.list"}`, i, f.name))
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema: club, Modules: modules,
		Observe: func(r reactor.Run) {
			mu.Lock()
			defer mu.Unlock()
			if r.Err != nil {
				failed[r.Name]++
			}
		},
	})
	bob := session(t, s.URL+"/v1/stream?as=bob", "", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	// sub reads the next sub event with a status, and fails at what may not come.
	sub := func(status string) (name, reason string) {
		t.Helper()
		e := bob.next(t, func(e event) bool {
			if e.kind == "" && strings.Contains(e.data, "secret") || e.kind == "problem" || strings.Contains(e.data, `"denied"`) && status != "moved" {
				t.Fatalf("got %v", e)
			}
			return e.kind == "sub" && strings.Contains(e.data, `"`+status+`"`)
		})
		var v struct {
			ID     int
			Reason string
		}
		if err := json.Unmarshal([]byte(e.data), &v); err != nil {
			t.Fatalf("%s: %v", e.data, err)
		}
		return list[v.ID].name, v.Reason
	}
	all := func(status string) map[string]string {
		t.Helper()
		reasons := map[string]string{}
		for len(reasons) < len(list) {
			name, reason := sub(status)
			reasons[name] = reason
		}
		return reasons
	}
	for name, reason := range all("stale") {
		for _, f := range list {
			if f.name == name && f.why != "" && f.why != reason {
				t.Errorf("%s is stale because of %q, want %q", name, reason, f.why)
			}
		}
	}
	s.SQL(t, `insert into notes values (2, 1, 'acme', 'secret')`)
	for _, f := range list {
		status, a := get(t, s.URL+"/v1/q/"+f.name+".list?as=bob")
		if status != 503 || a["code"] != "unavailable" || a["retryable"] != true || strings.Contains(fmt.Sprint(a), "password") {
			t.Errorf("one result behind %s: %d %v", f.name, status, a)
		}
	}
	// It is tried again, by itself.
	again := func(f fault) bool {
		mu.Lock()
		defer mu.Unlock()
		return f.why == "unavailable" || failed[f.name+".open"] > 2
	}
	conn := s.DB.Conn(t)
	for _, f := range list {
		for n := 0; !again(f); n++ {
			if n > 2000 {
				t.Fatalf("%s is not tried again", f.name)
			}
			number(t, conn, `select 1 from pg_sleep(0.01)`)
		}
	}
	s.SQL(t, `delete from notes where body = 'secret'`)
	for _, f := range list {
		s.Write(t, f.name+".wasm", door(f.name, constant(len(yes)), yes))
	}
	all("live")
	// And broken again: what is shown stays, and says so.
	for _, f := range list {
		s.Write(t, f.name+".wasm", door(f.name, f.body, f.data))
	}
	all("stale")
	s.SQL(t, `insert into notes values (3, 1, 'acme', 'secret too')`)
	for _, f := range list {
		if status, a := get(t, s.URL+"/v1/q/"+f.name+".list?as=bob"); status != 503 {
			t.Errorf("one result behind %s that is broken again: %d %v", f.name, status, a)
		}
	}
	for len(bob.events) > 0 {
		if e := <-bob.events; strings.Contains(e.data, "secret") {
			t.Errorf("the stream shows %v", e)
		}
	}
}
