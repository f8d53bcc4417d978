package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

const accessSchema = `
	create table members (org text, who text, team int not null, noise int default 0, primary key (org, who));
	create table bans (who text primary key);
	create table docs (id int primary key, org text not null, team int not null, body text not null);
	create table noise (id serial primary key, n int);
	create table turns (n int); insert into turns values (0);
	create index on docs (org);`

// accessPlugin has a policy over a row, one over a row that is not there, one that
// is always hot, and one with a scope.
func accessPlugin() []byte {
	text := abi.Schema{Type: "string"}
	org := []abi.Field{{Name: "org", Schema: text}}
	me := []abi.Claim{{Name: "me", Claim: "sub", Schema: text}}
	at := func(i int) *int { return &i }
	policies := func(names ...string) abi.Access { return abi.Access{Policies: names} }
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select id, body from docs where org = $org order by id`, Key: []string{"id"}},
			{SQL: `select id, body from docs where org = $org and team = $team order by id`, Key: []string{"id"}},
			{SQL: `select 1 from members where org = $org and who = $me`},
			{SQL: `select 1 where not exists (select from bans where who = $me)`},
			{SQL: `select jsonb_build_object('org', org, 'team', team) as scope from members where org = '1' and who = $me`},
			{SQL: `select count(*) filter (where who = $me and org = $org) > 0 as allow from members`},
		},
		Functions: []abi.Function{
			{Name: "docs.org", Kind: abi.Query, Fields: org, Statement: at(0), Access: policies("member")},
			{Name: "docs.free", Kind: abi.Query, Fields: org, Statement: at(0), Access: policies("member", "free")},
			{Name: "docs.hot", Kind: abi.Query, Fields: org, Statement: at(0), Access: policies("hot")},
			{Name: "docs.mine", Kind: abi.Query, Statement: at(1), Access: policies("scoped"), Scope: []abi.Field{
				{Name: "org", Schema: text}, {Name: "team", Schema: abi.Schema{Type: "integer"}},
			}},
			{Name: "member", Kind: abi.Policy, Fields: org, Claims: me, Statement: at(2)},
			{Name: "free", Kind: abi.Policy, Claims: me, Statement: at(3)},
			{Name: "scoped", Kind: abi.Policy, Claims: me, Statement: at(4)},
			{Name: "hot", Kind: abi.Policy, Fields: org, Claims: me, Statement: at(5)},
		},
	}
	return guest("access", m, nil, wasmtest.Unreachable())
}

// accessOracle watches as many users, and checks all that they are shown.
type accessOracle struct {
	t     *testing.T
	model accessModel
	seed  uint64

	mu      sync.Mutex // protects the fields below
	watches []*accessWatch
	frames  int
	denials int
}

// accessWatch is one subscription of one client.
type accessWatch struct {
	watched
	id      int
	q, v    string // announced
	held    string // the version whose rows it holds, "" if none
	content string
	status  string
	first   int // the state that it has seen at least
}

var (
	accessUsers = []string{"ann", "bob", "cyd", "dan"}
	accessOrgs  = []string{"1", "2", "3"}
)

// W5, W2, F1, F4, R9: users lose and get access, are moved between scopes, banned
// and set free, while documents change, in one transaction with them and in
// others. Every frame that anybody is shown must have been the answer at a moment
// at which the policies allowed it, no older than what was shown before; and when
// all is quiet everybody is lit or dark as a fresh look says, with a fresh answer.
// WEIR_ORACLE sets how long it looks, WEIR_SEED where it begins.
// Cases: 85.
func TestAccessOracle(t *testing.T) {
	t.Parallel()
	length := 5 * time.Second
	if text := os.Getenv("WEIR_ORACLE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	o := &accessOracle{t: t, seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("WEIR_SEED"); text != "" {
		o.seed, _ = strconv.ParseUint(text, 10, 64)
	}
	o.model.add(accessState{members: map[[2]string]int{}, bans: map[string]bool{}, docs: map[int]accessDoc{}})
	s := hosttest.Start(t, hosttest.Config{TOML: withKey, Schema: accessSchema, Modules: map[string][]byte{"access.wasm": accessPlugin()}})
	for _, user := range accessUsers {
		o.join(s, user)
	}
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	wg.Go(func() { o.disturb(s.DB.URL, end) })
	commits := o.write(s.DB.URL, end)
	wg.Wait()
	o.rest()
	t.Logf("seed %d: %d commits, %d frames, %d denials", o.seed, commits, o.frames, o.denials)
	if !t.Failed() && (o.frames < 50 || o.denials < 10) {
		t.Errorf("%d frames and %d denials: this proves too little", o.frames, o.denials)
	}
}

// join opens a user's session with all subscriptions.
func (o *accessOracle) join(s *hosttest.Server, user string) {
	var subs []string
	byID := map[int]*accessWatch{}
	add := func(fn, org, args string) {
		w := &accessWatch{watched: watched{fn, org, user}, id: len(byID) + 1}
		byID[w.id] = w
		o.watches = append(o.watches, w)
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":%q,"args":%s}`, w.id, fn, args))
	}
	for _, org := range accessOrgs {
		for _, fn := range []string{"docs.org", "docs.free", "docs.hot"} {
			add(fn, org, fmt.Sprintf(`{"org":%q}`, org))
		}
	}
	add("docs.mine", "", "{}")
	stream := session(o.t, s.URL+"/v1/stream", token(o.t, secret, "sub", user), `{"subs":[`+strings.Join(subs, ",")+`]}`)
	go func() { // ends with the stream
		for e := range stream.events {
			o.take(byID, e)
		}
	}()
}

// take is what a client does with an event, and the check of it.
func (o *accessOracle) take(byID map[int]*accessWatch, e event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e.kind {
	case "sub":
		var sub struct {
			ID                   int
			Q, V, Status, Reason string
		}
		if err := json.Unmarshal([]byte(e.data), &sub); err != nil {
			o.t.Errorf("%s: %v", e.data, err)
			return
		}
		o.announce(byID[sub.ID], sub.Q, sub.V, sub.Status, sub.Reason)
	case "":
		var f full
		if err := json.Unmarshal([]byte(e.data), &f); err != nil {
			o.t.Errorf("%s: %v", e.data, err)
			return
		}
		var q struct{ Q string }
		_ = json.Unmarshal([]byte(e.data), &q)
		for _, w := range byID {
			if w.q == q.Q && w.v == f.Version && w.held != f.Version {
				o.show(w, f)
			}
		}
	}
}

func (o *accessOracle) announce(w *accessWatch, q, v, status, reason string) {
	w.status = status
	switch status {
	case "denied":
		o.denials++
		if !o.model.everDenied(w.watched, w.first) && reason != "scope_changed" {
			o.t.Errorf("seed %d: %v is denied, and was always allowed since %d", o.seed, w.watched, w.first)
		}
		w.q, w.v, w.held = "", "", ""
	case "live", "unchanged", "stale":
		if q != "" {
			w.q, w.v = q, v
		}
	default:
		o.t.Errorf("%v is %s", w.watched, status)
	}
}

func (o *accessOracle) show(w *accessWatch, f full) {
	var rows strings.Builder
	for _, row := range f.Rows {
		fmt.Fprintf(&rows, "%v %v\n", row["id"], row["body"])
	}
	o.frames++
	at, denied, ok := o.model.find(w.watched, rows.String(), w.first)
	switch {
	case ok:
		w.first = at
	case denied:
		o.t.Errorf("seed %d: W5: %v was shown, since %d, what it was never allowed to see:\n%s%s", o.seed, w.watched, w.first, rows.String(), o.model.history(w.watched, rows.String()))
	default:
		o.t.Errorf("seed %d: W2: %v was shown what was not the answer since %d:\n%s%s", o.seed, w.watched, w.first, rows.String(), o.model.history(w.watched, rows.String()))
	}
	w.held, w.content = f.Version, rows.String()
}

// write commits random transactions, one after the other, and returns how many.
func (o *accessOracle) write(url string, end time.Time) int {
	r := rand.New(rand.NewPCG(o.seed, 0))
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		o.t.Error(err)
		return 0
	}
	defer conn.Close(ctx)
	n := 0
	for ; time.Now().Before(end) && !o.t.Failed(); n++ {
		state, _ := o.model.newest()
		next := state.clone()
		tx, err := conn.Begin(ctx)
		for range 1 + r.IntN(3) {
			if err == nil {
				sql, args := accessWrite(r, &next)
				_, err = tx.Exec(ctx, sql, args...)
				next.did += fmt.Sprint(sql, args, "; ")
			}
		}
		if err == nil {
			var xid string
			err = tx.QueryRow(ctx, `select pg_current_xact_id()::text`).Scan(&xid)
			next.did = xid + " " + next.did
		}
		if err == nil && r.IntN(8) == 0 { // a write that is open for a while
			_, err = tx.Exec(ctx, `select pg_sleep($1)`, r.Float64()*0.02)
		}
		if err == nil {
			o.model.add(next)
			err = tx.Commit(ctx)
		}
		if err != nil {
			o.t.Errorf("seed %d: write: %v", o.seed, err)
			return n
		}
	}
	return n
}

// accessWrite is one statement, done to the model too.
func accessWrite(r *rand.Rand, s *accessState) (sql string, args []any) {
	user, org := accessUsers[r.IntN(len(accessUsers))], accessOrgs[r.IntN(len(accessOrgs))]
	key, id, team := [2]string{org, user}, r.IntN(12), r.IntN(2)
	switch k := r.IntN(100); {
	case k < 15:
		delete(s.members, key)
		return `delete from members where org = $1 and who = $2`, []any{org, user}
	case k < 32:
		s.members[key] = team
		return `insert into members (org, who, team) values ($1, $2, $3) on conflict (org, who) do update set team = excluded.team`, []any{org, user, team}
	case k < 42: // the policies' table is hot, and nothing changes
		return `update members set noise = noise + 1`, nil
	case k < 45:
		s.bans[user] = true
		return `insert into bans values ($1) on conflict do nothing`, []any{user}
	case k < 50:
		delete(s.bans, user)
		return `delete from bans where who = $1`, []any{user}
	case k < 52:
		clear(s.bans)
		return `truncate bans`, nil
	case k < 53:
		clear(s.members)
		return `truncate members`, nil
	case k < 63:
		delete(s.docs, id)
		return `delete from docs where id = $1`, []any{id}
	}
	doc := accessDoc{org, team, fmt.Sprint("secret ", r.IntN(1000))}
	s.docs[id] = doc
	return `insert into docs values ($1, $2, $3, $4) on conflict (id) do update set org = excluded.org, team = excluded.team, body = excluded.body`,
		[]any{id, doc.org, doc.team, doc.body}
}

// disturb commits what concerns nobody, so that snapshots run ahead of the log.
func (o *accessOracle) disturb(url string, end time.Time) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		o.t.Error(err)
		return
	}
	defer conn.Close(ctx)
	for time.Now().Before(end) {
		if _, err := conn.Exec(ctx, `insert into noise (n) values (1)`); err != nil {
			o.t.Error(err)
			return
		}
	}
}

// rest waits until every client sees what a fresh look says (W1, W5).
func (o *accessOracle) rest() {
	state, _ := o.model.newest()
	wrong := func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, w := range o.watches {
			allowed, want := state.allows(w.watched), state.answer(w.watched)
			if allowed && (w.status == "denied" || w.held == "" || w.content != want || w.status == "stale") {
				return fmt.Sprintf("%v is %s and holds\n%s\nwant\n%s", w.watched, w.status, w.content, want)
			}
			if !allowed && w.status != "denied" {
				return fmt.Sprintf("%v is %s, it should be denied", w.watched, w.status)
			}
		}
		return ""
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wrong() != "" && !o.t.Failed() {
		select {
		case <-tick.C:
		case <-deadline.C:
			o.t.Errorf("seed %d: after all was quiet: %s", o.seed, wrong())
		}
	}
}
