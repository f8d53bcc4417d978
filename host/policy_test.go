package host_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

// club is the schema of the tests of access: notes with a sequence, and tables
// that decide who may read them.
const club = `create table notes (seq bigint primary key, room int not null, org text not null default 'acme', body text not null);
	create table members (room int not null, user_id text not null, touched int not null default 0, primary key (room, user_id));
	create table bans (user_id text primary key);
	create table users (user_id text primary key, org text not null, other text not null);
	insert into notes values (1, 1, 'acme', 'first');
	insert into members values (1, 'ann'), (1, 'bob');
	insert into users values ('ann', 'acme', 'acme'), ('bob', 'acme', 'acme');`

// rule is a policy that is one statement over $room and the caller: $me, and $from,
// the org of the token.
type rule struct{ name, sql string }

var (
	member = rule{"member", `select 1 from members where room = $room and user_id = $me`}
	free   = rule{"free", `select 1 where not exists (select from bans where user_id = $me)`}
	ofOrg  = rule{"of.org", `select jsonb_build_object('org', org) as scope from users where user_id = $me`}
	other  = rule{"of.other", `select jsonb_build_object('org', other) as scope from users where user_id = $me`}
)

// notes is a query and the policies that its manifest names.
type notes struct {
	name     string
	org      bool // of the org in the scope, not of the room
	policies []string
}

// guarded assembles a plugin of queries and policies.
func guarded(queries []notes, rules ...rule) []byte {
	var m abi.Manifest
	me := abi.Claim{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}
	add := func(f abi.Function, sql string) {
		index := len(m.Statements)
		f.Statement = &index
		if strings.Contains(sql, "$room") {
			f.Fields = []abi.Field{{Name: "room", Schema: abi.Schema{Type: "integer"}}}
		}
		if strings.Contains(sql, "$me") {
			f.Claims = append(f.Claims, me)
		}
		if strings.Contains(sql, "$from") {
			f.Claims = append(f.Claims, abi.Claim{Name: "from", Claim: "org", Schema: abi.Schema{Type: "string"}})
		}
		m.Statements = append(m.Statements, abi.Statement{SQL: sql})
		m.Functions = append(m.Functions, f)
	}
	for _, q := range queries {
		f := abi.Function{Name: q.name, Kind: abi.Query, Access: abi.Access{Policies: q.policies}}
		sql := `select seq, body from notes where room = $room order by seq desc limit 20`
		if q.org {
			sql = `select seq, body from notes where room = $room and org = $org order by seq desc limit 20`
			f.Scope = []abi.Field{{Name: "org", Schema: abi.Schema{Type: "string"}}}
		}
		add(f, sql)
		m.Statements[*m.Functions[len(m.Functions)-1].Statement].Key = []string{"seq"}
	}
	for _, r := range rules {
		add(abi.Function{Name: r.name, Kind: abi.Policy}, r.sql)
	}
	return guest("club", m, nil, wasmtest.Unreachable())
}

// behind is a plugin of notes.list behind rules.
func behind(rules ...rule) []byte {
	var names []string
	for _, r := range rules {
		names = append(names, r.name)
	}
	return guarded([]notes{{name: "notes.list", policies: names}}, rules...)
}

// reads opens a session of a user that watches one query of room 1.
func reads(t *testing.T, s *hosttest.Server, who, query string) *stream {
	t.Helper()
	return session(t, s.URL+"/v1/stream?as="+who, "", `{"subs":[{"id":1,"q":"`+query+`","args":{"room":1}}]}`)
}

// seen is what a stream told, in order: "note 7" for a result whose newest row is
// 7, else the status with its reason.
type seen struct {
	what string
	top  int64    // the newest row's sequence
	rows []string // bodies
}

// tell returns the next thing that a stream tells: a result, or a status that is
// not followed by one.
func (s *stream) tell(t *testing.T) seen {
	t.Helper()
	e := s.next(t, func(e event) bool {
		return e.kind == "" || e.kind == "sub" && !strings.Contains(e.data, `"live"`) && !strings.Contains(e.data, `"unchanged"`)
	})
	if e.kind == "sub" {
		var sub struct{ Status, Reason string }
		if err := json.Unmarshal([]byte(e.data), &sub); err != nil {
			t.Fatalf("%s: %v", e.data, err)
		}
		return seen{what: strings.TrimSpace(sub.Status + " " + sub.Reason)}
	}
	var f struct {
		Rows []struct {
			Seq  int64
			Body string
		}
	}
	if err := json.Unmarshal([]byte(e.data), &f); err != nil {
		t.Fatalf("%s: %v", e.data, err)
	}
	r := seen{what: "notes"}
	for _, row := range f.Rows {
		r.top = max(r.top, row.Seq)
		r.rows = append(r.rows, row.Body)
	}
	return r
}

// tells reads up to something, and returns what came before it.
func (s *stream) tells(t *testing.T, what string) (before []seen) {
	t.Helper()
	for {
		next := s.tell(t)
		if next.what == what || strings.HasPrefix(next.what, what+" ") {
			return before
		}
		before = append(before, next)
	}
}

// shows reads up to a result with a note, and returns what came before it.
func (s *stream) shows(t *testing.T, body string) (before []seen) {
	t.Helper()
	for {
		next := s.tell(t)
		if slices.Contains(next.rows, body) {
			return before
		}
		before = append(before, next)
	}
}

// one fails unless the stream tells exactly this next.
func (s *stream) one(t *testing.T, what string) {
	t.Helper()
	if got := s.tell(t); got.what != what {
		t.Fatalf("the stream tells %v, want %s", got, what)
	}
}

// TestMembershipIsLive: a row that goes makes the stream dark, told once; when it
// is back the full result follows. Others do not notice.
func TestMembershipIsLive(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: club, Modules: map[string][]byte{"club.wasm": behind(member)}})
	ann, bob := reads(t, s, "ann", "notes.list"), reads(t, s, "bob", "notes.list")
	ann.shows(t, "first")
	bob.shows(t, "first")
	alone := watch(t, s.URL+"/v1/q/notes.list?room=1&as=bob")
	alone.result(t)
	for i := range 5 {
		s.SQL(t, `delete from members where user_id = 'bob'`)
		bob.one(t, "denied member")
		note := fmt.Sprintf("in the dark %d", i)
		s.SQL(t, `insert into notes values ($1, 1, 'acme', $2)`, 2*i+10, note)
		ann.shows(t, note)
		s.SQL(t, `insert into members values (1, 'bob')`)
		back := bob.tell(t)
		if back.what != "notes" || len(back.rows) != 2*i+2 || back.rows[0] != note {
			t.Fatalf("after the return: %v", back)
		}
		light := fmt.Sprintf("in the light %d", i)
		s.SQL(t, `insert into notes values ($1, 1, 'acme', $2)`, 2*i+11, light)
		if before := bob.shows(t, light); len(before) != 0 {
			t.Errorf("before the note: %v", before)
		}
		ann.shows(t, light)
	}
	// A stream of one query has ended at the denial, and comes back to a 403 while
	// it lasts.
	alone.tells(t, "denied")
	for e := range alone.events {
		t.Errorf("after the denial: %v", e)
	}
	s.SQL(t, `delete from members where user_id = 'bob'`)
	for _, accept := range []string{"text/event-stream", "application/json"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/q/notes.list?room=1&as=bob", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if status, a := decode(t, resp); status != 403 || a["code"] != "denied" || !strings.Contains(a["message"].(string), "member") {
			t.Errorf("%s: %d %v", accept, status, a)
		}
	}
}

// TestMembersShareOneRun: W3, W4. A decision for each, one run and one frame for
// all; and whom one of them concerns does not cost the others anything.
// Cases: 79.
func TestMembersShareOneRun(t *testing.T) {
	t.Parallel()
	const users = 30
	var mu sync.Mutex // protects the field below
	ran := map[string]int{}
	count := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return ran[name]
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema:  club + fmt.Sprintf(`insert into members select 1, 'user' || i from generate_series(0, %d) i;`, users-1),
		Modules: map[string][]byte{"club.wasm": behind(member)},
		Observe: func(r reactor.Run) {
			mu.Lock()
			defer mu.Unlock()
			ran[r.Name]++
		},
	})
	var all []*stream
	frames := map[string]bool{}
	for i := range users {
		stream := reads(t, s, fmt.Sprint("user", i), "notes.list")
		frames[stream.result(t).raw] = true
		all = append(all, stream)
	}
	if len(frames) != 1 {
		t.Errorf("%d members were shown %d results", users, len(frames))
	}
	queries, decisions := count("notes.list"), count("member")
	if decisions < users {
		t.Errorf("%d decisions for %d members", decisions, users)
	}
	for i := range 10 {
		s.SQL(t, `insert into notes values ($1, 1, 'acme', $2)`, i+10, fmt.Sprint("note ", i))
		for _, stream := range all {
			stream.shows(t, fmt.Sprint("note ", i))
		}
	}
	s.SQL(t, `delete from members where user_id = 'user7'`)
	all[7].tells(t, "denied")
	s.SQL(t, `insert into notes values (100, 1, 'acme', 'last')`)
	all[8].shows(t, "last") // the loop has told of the runs before that of this one
	if n := count("notes.list") - queries; n != 10 && n != 11 {
		t.Errorf("11 changes cost %d runs", n)
	}
	if n := count("member") - decisions; n != 1 {
		t.Errorf("one membership cost %d decisions", n)
	}
}

// TestFunctionsShareADecision: what a policy does not declare is not in its key.
// One answer about a room and a caller serves every function that it guards.
// Cases: 79.
func TestFunctionsShareADecision(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ran := map[reactor.Reason]int{}
	s := hosttest.Start(t, hosttest.Config{
		Schema: club, Observe: func(r reactor.Run) {
			mu.Lock()
			defer mu.Unlock()
			if r.Name == "member" {
				ran[r.Cause.Reason]++
			}
		}, Modules: map[string][]byte{"club.wasm": guarded([]notes{
			{name: "notes.list", policies: []string{"member"}}, {name: "notes.again", policies: []string{"member"}},
		}, member)},
	})
	list, again := reads(t, s, "bob", "notes.list"), reads(t, s, "bob", "notes.again")
	list.shows(t, "first")
	again.shows(t, "first")
	s.SQL(t, `delete from members`)
	list.one(t, "denied member")
	again.one(t, "denied member")
	s.SQL(t, `insert into members values (1, 'bob')`)
	list.shows(t, "first")
	again.shows(t, "first")
	s.Stop() // every run was told
	// Others have other reasons, such as triggers that were made just now.
	if n := ran[reactor.First] + ran[reactor.Changed]; n != 3 {
		t.Errorf("three answers took %d runs of the policy: %v", n, ran)
	}
}

// TestPolicyWithoutTables: it is about the token alone. The change log does not
// make it unknown; a renewed token, with other claims, decides anew (S4).
// Cases: 86.
func TestPolicyWithoutTables(t *testing.T) {
	t.Parallel()
	staff := rule{"staff", `select 1 where $from = 'acme'`}
	s := hosttest.Start(t, hosttest.Config{
		TOML: "limits = { max_stale = \"1s\" }\n" + withKey, Schema: club, Wire: true,
		Modules: map[string][]byte{"club.wasm": behind(staff)},
	})
	of := func(org string, more time.Duration) string {
		return token(t, secret, "org", map[string]any{"name": org}, "exp", time.Now().Add(time.Hour+more).Unix())
	}
	watch := func(token string) (*stream, string) {
		stream := session(t, s.URL+"/v1/stream", token, `{"subs":[{"id":1,"q":"notes.list","args":{"room":1}}]}`)
		return stream, stream.named(t, "hello")["sid"].(string)
	}
	ann, sid := watch(of("acme", 0))
	eve, _ := watch(of("evil", 0))
	ann.shows(t, "first")
	eve.one(t, "denied staff")
	renew := func(token string) {
		t.Helper()
		if resp := request(t, http.MethodPost, s.URL+"/v1/stream/"+sid, token, `{}`); resp.StatusCode != http.StatusNoContent {
			t.Errorf("renew: %s", resp.Status)
		} else {
			resp.Body.Close()
		}
	}
	renew(of("evil", time.Hour))
	ann.one(t, "denied staff")
	renew(of("acme", 2*time.Hour))
	ann.one(t, "notes")

	s.Wire.Cut()
	ann.one(t, "stale unavailable") // its rows are
	s.SQL(t, `insert into notes values (2, 1, 'acme', 'second')`)
	s.Wire.Mend()
	ann.shows(t, "second")
	for len(eve.events) > 0 {
		if e := <-eve.events; e.kind != "ping" && e.kind != "" || strings.Contains(e.data, "rows") {
			t.Errorf("who is denied by the token alone is told %v", e)
		}
	}
}

// TestSyncedTellsOfAccess: F10. Who leaves a room by a mutation, or comes back, is
// told that it is done when the stream has told what it did to access.
func TestSyncedTellsOfAccess(t *testing.T) {
	t.Parallel()
	me := []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}}
	zero, one := 0, 1
	doors := abi.Manifest{
		Statements: []abi.Statement{{SQL: `delete from members where user_id = $me`}, {SQL: `insert into members values (1, $me)`}},
		Functions: []abi.Function{
			{Name: "leave", Kind: abi.Mutation, Statement: &zero, Claims: me, Access: abi.Access{SignedIn: true}},
			{Name: "join", Kind: abi.Mutation, Statement: &one, Claims: me, Access: abi.Access{SignedIn: true}},
		},
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema: club, Modules: map[string][]byte{"club.wasm": behind(member), "doors.wasm": guest("doors", doors, nil, wasmtest.Unreachable())},
	})
	bob := session(t, s.URL+"/v1/stream?as=bob", "", `{"subs":[{"id":1,"q":"notes.list","args":{"room":1}}]}`)
	sid := bob.named(t, "hello")["sid"].(string)
	bob.shows(t, "first")
	// call runs a mutation and returns what the stream told before synced.
	call := func(name string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/call/"+name+"?as=bob", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Weir-Session", sid)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if status, a := decode(t, resp); status != 200 {
			t.Fatalf("%s: %d %v", name, status, a)
		}
		var told []string
		bob.next(t, func(e event) bool {
			switch {
			case e.kind == "synced" && strings.Contains(e.data, "pending"):
				t.Errorf("%s: %v", name, e)
			case e.kind == "sub" && strings.Contains(e.data, `"denied"`):
				told = append(told, "denied")
			case e.kind == "":
				told = append(told, "rows")
			}
			return e.kind == "synced"
		})
		return strings.Join(told, " ")
	}
	for range 5 {
		if told := call("leave"); told != "denied" {
			t.Errorf("who left is told %q before synced", told)
		}
		if told := call("join"); told != "rows" {
			t.Errorf("who came back is told %q before synced", told)
		}
	}
}

// TestAllPoliciesMustAllowLive: those of the manifest and those that the
// configuration requires, each of them live.
func TestAllPoliciesMustAllowLive(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\nrequire = { \"notes.*\" = [\"free\"] }\n",
		Schema: club, Modules: map[string][]byte{"club.wasm": guarded([]notes{{name: "notes.list", policies: []string{"member"}}}, member, free)},
	})
	bob := reads(t, s, "bob", "notes.list")
	bob.shows(t, "first")
	step := func(sql, want string) {
		t.Helper()
		s.SQL(t, sql)
		bob.one(t, want)
	}
	const join, leave = `insert into members values (1, 'bob')`, `delete from members where user_id = 'bob'`
	const ban, pardon = `insert into bans values ('bob')`, `delete from bans`
	step(leave, "denied member")
	step(join, "notes")
	step(ban, "denied free")
	step(pardon, "notes")
	step(ban, "denied free")
	step(leave, "denied member") // the first that denies is told
	step(join, "denied free")
	step(leave, "denied member")
	s.SQL(t, pardon) // still no member: nothing is told
	s.SQL(t, join)
	got := bob.tell(t)
	if got.what == "denied free" { // decisions run apart: that of the ban may be the later one
		got = bob.tell(t)
	}
	if got.what != "notes" {
		t.Fatalf("the stream tells %v, want notes", got)
	}
	// Both at once: which is heard of first is chance; that one denies is enough.
	s.SQL(t, `begin; delete from members where user_id = 'bob'; insert into bans values ('bob'); insert into notes values (2, 1, 'acme', 'second'); commit`)
	if got = bob.tell(t); got.what != "denied member" && got.what != "denied free" {
		t.Errorf("a member no more, and banned: %v", got)
	}
	s.SQL(t, `begin; insert into members values (1, 'bob'); delete from bans; insert into notes values (3, 1, 'acme', 'third'); commit`)
	for _, b := range bob.shows(t, "third") {
		if !strings.HasPrefix(b.what, "denied") {
			t.Errorf("on the way back: %v", b)
		}
	}
}

// TestScopeFollowsTheTable: W4, W5. Each sees the rows of their org; who changes
// the org is shown nothing of the old one any more, and all of the new one.
// Cases: 86.
func TestScopeFollowsTheTable(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Schema:  club + `insert into notes values (2, 1, 'evil', 'of evil'); update users set org = 'evil' where user_id = 'ann';`,
		Modules: map[string][]byte{"club.wasm": guarded([]notes{{name: "org.list", org: true, policies: []string{"of.org"}}}, ofOrg)},
	})
	ann, bob := reads(t, s, "ann", "org.list"), reads(t, s, "bob", "org.list")
	alone := watch(t, s.URL+"/v1/q/org.list?room=1&as=bob")
	for _, stream := range []*stream{bob, alone} {
		if got := stream.tell(t); fmt.Sprint(got.rows) != "[first]" {
			t.Fatalf("bob sees %v", got)
		}
	}
	if got := ann.tell(t); fmt.Sprint(got.rows) != "[of evil]" {
		t.Fatalf("ann sees %v", got)
	}
	last := map[string]string{"acme": "first", "evil": "of evil"}
	for i := range 12 {
		to, from := "evil", "acme"
		if i%2 == 1 {
			to, from = from, to
		}
		// What is written for the old org in the moment in which bob leaves it.
		secret, open := fmt.Sprintf("secret %d", i), fmt.Sprintf("open %d", i)
		move := fmt.Sprintf(`update users set org = '%s' where user_id = 'bob';`, to)
		write := fmt.Sprintf(`insert into notes values (%d, 1, '%s', '%s');`, 2*i+10, from, secret)
		if i%3 == 0 {
			move, write = write, move
		}
		s.SQL(t, "begin; "+move+write+" commit")
		for _, stream := range []*stream{bob, alone} {
			for _, before := range stream.shows(t, last[to]) {
				if slices.Contains(before.rows, secret) {
					t.Fatalf("bob, of %s now, sees %v", to, before.rows)
				}
				if before.what != "denied scope_changed" && before.what != "notes" {
					t.Errorf("on the way: %v", before)
				}
			}
		}
		s.SQL(t, `insert into notes values ($1, 1, $2, $3)`, 2*i+11, to, open)
		for _, stream := range []*stream{bob, alone} {
			for _, before := range stream.shows(t, open) {
				t.Errorf("in the org %s: %v", to, before)
			}
		}
		last[from], last[to] = secret, open
	}
	// A user without an org is denied, and one that comes back sees all.
	s.SQL(t, `delete from users where user_id = 'bob'`)
	bob.one(t, "denied of.org")
	s.SQL(t, `insert into users values ('bob', 'evil', 'evil')`)
	bob.shows(t, last["evil"])
	if status, a := get(t, s.URL+"/v1/q/org.list?room=1&as=bob"); status != 200 || !strings.Contains(fmt.Sprint(a), last["evil"]) {
		t.Errorf("one result: %d %v", status, a)
	}
	if status, a := get(t, s.URL+"/v1/q/org.list?room=1&org=acme&as=bob"); status != 400 {
		t.Errorf("a client that sets its scope: %d %v", status, a)
	}
}

// TestScopesThatContradictDeny: two policies that disagree let nobody in, for as
// long as they do.
func TestScopesThatContradictDeny(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Schema:  club + `insert into notes values (2, 1, 'evil', 'of evil');`,
		Modules: map[string][]byte{"club.wasm": guarded([]notes{{name: "org.list", org: true, policies: []string{"of.org", "of.other"}}}, ofOrg, other)},
	})
	bob := reads(t, s, "bob", "org.list")
	bob.shows(t, "first")
	for range 3 {
		s.SQL(t, `update users set other = 'evil'`)
		before := bob.tells(t, "denied policies disagree about org")
		for _, b := range before {
			if b.what != "denied scope_changed" {
				t.Errorf("on the way to the conflict: %v", b)
			}
		}
		if status, a := get(t, s.URL+"/v1/q/org.list?room=1&as=bob"); status != 403 || a["message"] != "policies disagree about org" {
			t.Errorf("one result: %d %v", status, a)
		}
		s.SQL(t, `update users set org = 'evil'`)
		bob.shows(t, "of evil")
		s.SQL(t, `update users set org = 'acme', other = 'acme'`)
		for _, b := range bob.shows(t, "first") {
			if b.what != "denied scope_changed" {
				t.Errorf("on the way back: %v", b)
			}
		}
	}
}

// TestPolicyThatFailsIsUnknown: F4. A statement that fails lets nobody in and
// denies nobody; when its data is mended it decides again, by itself.
func TestPolicyThatFailsIsUnknown(t *testing.T) {
	t.Parallel()
	divides := rule{"divides", `select 10 / touched > 0 as allow from members where room = $room and user_id = $me`}
	s := hosttest.Start(t, hosttest.Config{
		Schema: club + `update members set touched = 1;`, Modules: map[string][]byte{"club.wasm": behind(divides)},
	})
	bob := reads(t, s, "bob", "notes.list")
	bob.shows(t, "first")
	s.SQL(t, `update members set touched = 0 where user_id = 'bob'`)
	bob.one(t, "stale sql_error")
	s.SQL(t, `insert into notes values (2, 1, 'acme', 'unseen')`)
	if status, a := get(t, s.URL+"/v1/q/notes.list?room=1&as=bob"); status != 503 || a["code"] != "unavailable" || a["retryable"] != true {
		t.Errorf("one result: %d %v", status, a)
	}
	late := reads(t, s, "bob", "notes.list")
	late.one(t, "stale sql_error")
	alone := watch(t, s.URL+"/v1/q/notes.list?room=1&as=bob") // 200: it may pass
	alone.tells(t, "stale")
	s.SQL(t, `update members set touched = 1`)
	for _, stream := range []*stream{bob, late, alone} {
		if before := stream.shows(t, "unseen"); len(before) != 0 {
			t.Errorf("before it was mended: %v", before)
		}
	}
	// An evaluated deny is one.
	s.SQL(t, `update members set touched = 100 where user_id = 'bob'`)
	bob.one(t, "denied divides")
}

// TestPolicyMayReadWhatItGuards: who wrote something may read all of it. The
// first note lets its author in.
func TestPolicyMayReadWhatItGuards(t *testing.T) {
	t.Parallel()
	wrote := rule{"wrote", `select 1 where exists (select from notes where room = $room and body = $me)`}
	s := hosttest.Start(t, hosttest.Config{Schema: club, Modules: map[string][]byte{"club.wasm": behind(wrote)}})
	bob := reads(t, s, "bob", "notes.list")
	bob.one(t, "denied wrote")
	s.SQL(t, `insert into notes values (2, 1, 'acme', 'bob')`)
	bob.shows(t, "bob")
	s.SQL(t, `insert into notes values (3, 1, 'acme', 'third')`)
	bob.shows(t, "third")
	s.SQL(t, `begin; insert into notes values (4, 1, 'acme', 'secret'); delete from notes where body = 'bob'; commit`)
	bob.one(t, "denied wrote")
}

// TestRequiredPolicyOfAnotherPlugin: G16. What the configuration requires crosses
// from plugin to plugin by name, and is as live as the own ones.
func TestRequiredPolicyOfAnotherPlugin(t *testing.T) {
	t.Parallel()
	staff := abi.Manifest{
		Statements: []abi.Statement{{SQL: `select 1 from bans where user_id = $me`}},
		Functions: []abi.Function{{
			Name: "staff", Kind: abi.Policy, Statement: new(int),
			Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}},
		}},
	}
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\nrequire = { \"notes.*\" = [\"team/staff\"] }\n",
		Schema: club, Modules: map[string][]byte{"club.wasm": behind(member), "team.wasm": guest("team", staff, nil, wasmtest.Unreachable())},
	})
	bob := reads(t, s, "bob", "notes.list")
	bob.one(t, "denied team/staff")
	s.SQL(t, `insert into bans values ('bob')`)
	bob.shows(t, "first")
	s.SQL(t, `truncate bans`)
	bob.one(t, "denied team/staff")
	s.SQL(t, `insert into bans values ('bob')`)
	bob.shows(t, "first")

	// Another version of the policy decides from now on, though the plugin that it
	// guards is the same.
	staff.Statements[0].SQL = `select 1 from bans where user_id = $me and false`
	s.Write(t, "team.wasm", guest("team", staff, nil, wasmtest.Unreachable()))
	bob.one(t, "denied team/staff")
	s.SQL(t, `insert into notes values (2, 1, 'acme', 'second')`)
	staff.Statements[0].SQL = `select 1 from bans where user_id = $me`
	s.Write(t, "team.wasm", guest("team", staff, nil, wasmtest.Unreachable()))
	bob.shows(t, "second")

	// Without the policy nobody can decide: what was shown stays, and says so.
	if err := os.Remove(filepath.Join(s.Plugins, "team.wasm")); err != nil {
		t.Fatal(err)
	}
	bob.one(t, "stale unavailable")
	s.SQL(t, `insert into notes values (3, 1, 'acme', 'third')`)
	if status, a := get(t, s.URL+"/v1/q/notes.list?room=1&as=bob"); status != 503 || a["code"] != "unavailable" {
		t.Errorf("without the policy: %d %v", status, a)
	}
	s.Write(t, "team.wasm", guest("team", staff, nil, wasmtest.Unreachable()))
	if before := bob.shows(t, "third"); len(before) != 0 {
		t.Errorf("before the policy was back: %v", before)
	}
}

// topOf returns the newest sequence of a result.
func topOf(data string) (top int64) {
	var f struct{ Rows []struct{ Seq int64 } }
	if json.Unmarshal([]byte(data), &f) != nil {
		return -1
	}
	for _, row := range f.Rows {
		top = max(top, row.Seq)
	}
	return top
}

// looks assembles a plugin of notes.list behind a policy that a guest evaluates:
// a row of the statement of member allows.
func looks(name string) []byte { return looksAt(name, member.sql) }

// looksAt is looks with another statement.
func looksAt(name, sql string) []byte {
	yes := abi.AppendDecision(nil, &abi.Decision{Allow: true})
	no := abi.AppendDecision(nil, &abi.Decision{Reason: "no member"})
	zero := 0
	room := []abi.Field{{Name: "room", Schema: abi.Schema{Type: "integer"}}}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select seq, body from notes where room = $room order by seq desc limit 20`, Key: []string{"seq"}},
			{SQL: sql},
		},
		Functions: []abi.Function{
			{Name: "notes.list", Kind: abi.Query, Statement: &zero, Fields: room, Access: abi.Access{Policies: []string{name}}},
			{Name: name, Kind: abi.Policy, Uses: []int{1}, Fields: room, Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}}},
		},
	}
	decide := wasmtest.Join(pose(1), wasmtest.Get(2), wasmtest.Invoke(fnRowsLen),
		wasmtest.If(wasmtest.Join(wasmtest.Pack(abi.TagValue, wasmtest.DataAt, uint32(len(yes))), wasmtest.Return())),
		wasmtest.Pack(abi.TagValue, wasmtest.DataAt+uint32(len(yes)), uint32(len(no))))
	return guest("club", m, append(yes, no...), wasmtest.Unreachable(), decide)
}
