package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/devdb"
	"weir/host/wasm/wasmtest"
)

// world is a database, weir, clients and writers, with wires between them.
type world struct {
	t     testing.TB
	db    *cluster // the one that is the truth now
	log   *wire    // weir's own role
	guest *wire    // the role of the plugins' SQL
	front *wire    // clients
	node  *node

	clients []*client
	writer  *writer
	caller  *caller
	changed signaller

	mu       sync.Mutex // protects the fields below
	broken   []string   // what must not be
	noted    map[string]int
	forgiven map[*subscription]bool // may go back once: commits were lost
}

// setting is how a world is made.
type setting struct {
	postgres map[string]string // settings of the server
	dir      string            // of the server; a temporary one if empty
	bin      string            // of its programs; those that devdb finds if empty
	toml     string            // more of weir.toml's [limits]
	shell    string            // see node
	sessions int               // of each user; 0 means 2
	idle     bool              // no caller
}

const key = "the key of tests of faults, which is long enough"

// users of a world. cat is no member of any room.
var users = []string{"ann", outcast, "cat"}

// newWorld starts all of it, and returns when every client shows what is.
func newWorld(t testing.TB, s setting) *world {
	t.Helper()
	w := &world{t: t, noted: map[string]int{}, forgiven: map[*subscription]bool{}}
	w.changed.channel = make(chan struct{})
	w.db = newClusterOf(t, devdb.Config{Dir: s.dir, BinDir: s.bin}, s.postgres)
	w.log, w.guest, w.front = newWire(t), newWire(t), newWire(t)
	w.lead(w.db)
	dir := t.TempDir()
	command(t, dir, "db", "setup", "--admin-url", w.db.URL("postgres"))
	w.db.exec(t, schema)
	w.node = &node{t: t, dir: dir, shell: s.shell, front: w.front}
	w.configure(s.toml)
	w.install("faults.wasm", plugin(""))
	w.install("sums.wasm", sums())
	t.Cleanup(w.node.stop)
	w.node.start()
	w.node.awaitReady()
	w.writer = newWriter(w, 1)
	w.people(s)
	w.recover("start")
	return w
}

// lead makes a cluster the one behind weir's wires.
func (w *world) lead(c *cluster) {
	w.db = c
	w.log.lead("unix", c.socket())
	w.guest.lead("unix", c.socket())
}

// configure writes weir.toml.
func (w *world) configure(limits string) {
	w.t.Helper()
	// Sandboxed, so that children compile modules and read SQL.
	text := fmt.Sprintf(`plugins = "plugins"
trust = "sandboxed"
grant = ["public"]
[server]
listen = "127.0.0.1:0"
writer = %q
[admin]
listen = "localhost:0"
[database]
url = "postgres://weir@127.0.0.1:%d/postgres?sslmode=disable"
guest = "postgres://weir_guest@127.0.0.1:%d/postgres?sslmode=disable"
[auth]
keys = [{ issuer = "tests", audience = "faults", hs256 = %q }]
[limits]
max_stale = "2s"
ping_interval = %q
compile_timeout = "60s"
%s`, cmp.Or(os.Getenv("WEIR_TEST_WRITER"), "auto"), w.log.port(), w.guest.port(), key, pingEvery, limits)
	if err := os.WriteFile(filepath.Join(w.node.dir, "weir.toml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.node.dir, "plugins"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// install puts a plugin where weir finds it, as a deployment does.
func (w *world) install(name string, code []byte) {
	w.t.Helper()
	path := filepath.Join(w.node.dir, "plugins", name)
	if err := os.WriteFile(path+".new", code, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// questions are the queries, and what they must answer.
var questions = map[string]string{
	"notes.list": `select id, n, body from notes where room = $room order by id desc limit 20`,
	"room.gate":  `select room, n, word from gates where room = $room`,
	"notes.sum":  `select room, count(*) as notes, max(n) as n from notes group by room order by room`,
}

// sums is a second plugin, which is loaded after the first.
func sums() []byte {
	zero := 0
	m := abi.Manifest{
		ABI: abi.Version, Name: "sums", Version: "1",
		Statements: []abi.Statement{{SQL: questions["notes.sum"], Key: []string{"room"}}},
		Functions:  []abi.Function{{Name: "notes.sum", Kind: abi.Query, Statement: &zero, Access: abi.Access{SignedIn: true}}},
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}

// born is in the SQL of marked plugins: verdicts of SQL are kept for other runs, and
// these must have none.
var born = time.Now().UnixNano()

// plugin is the module of the other functions. A mark makes another one of it,
// whose SQL nobody has read yet.
func plugin(mark string) []byte {
	zero, one, two, three := 0, 1, 2, 3
	if mark != "" {
		mark = fmt.Sprint(mark, " ", born)
	}
	whole := abi.Schema{Type: "integer"}
	room := []abi.Field{{Name: "room", Schema: whole}}
	guarded, signedIn := abi.Access{Policies: []string{"member"}}, abi.Access{SignedIn: true}
	m := abi.Manifest{
		ABI: abi.Version, Name: "faults", Version: "1" + mark,
		Statements: []abi.Statement{
			{SQL: questions["notes.list"], Key: []string{"id"}},
			{SQL: questions["room.gate"], Key: []string{"room"}},
			{SQL: `insert into calls (k, room) values ($k, $room) returning k, '` + mark + `' as mark`},
			{SQL: `select 1 from members where room = $room and user_id = $me`},
		},
		Functions: []abi.Function{
			{Name: "notes.list", Kind: abi.Query, Statement: &zero, Fields: room, Access: guarded},
			{Name: "room.gate", Kind: abi.Query, Statement: &one, Fields: room, Access: guarded},
			{Name: "notes.call", Kind: abi.Mutation, Statement: &two, Access: signedIn, Fields: []abi.Field{{Name: "k", Schema: whole}, {Name: "room", Schema: whole}}},
			{Name: "member", Kind: abi.Policy, Statement: &three, Fields: room, Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}}},
		},
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}

// people starts clients and writers, which end with the test.
func (w *world) people(s setting) {
	w.t.Helper()
	tokens := map[string]string{}
	for _, user := range users {
		now := time.Now()
		token, err := auth.Mint([]byte(key), map[string]any{
			"iss": "tests", "aud": "faults", "sub": user, "iat": now.Unix(), "exp": now.Add(12 * time.Hour).Unix(),
		})
		if err != nil {
			w.t.Fatal(err)
		}
		tokens[user] = token
	}
	n := s.sessions
	if n == 0 {
		n = 2
	}
	for _, user := range users {
		for range n {
			c := &client{user: user, token: tokens[user], world: w}
			for i, of := range []subscription{{fn: "notes.list", room: 1}, {fn: "notes.list", room: 2}, {fn: "room.gate", room: 1}, {fn: "room.gate", room: 3}, {fn: "notes.sum"}} {
				of.id = i + 1
				c.subs = append(c.subs, &of)
			}
			w.clients = append(w.clients, c)
		}
	}
	for _, of := range []subscription{{fn: "notes.list", room: 1}, {fn: "notes.sum"}} {
		w.clients = append(w.clients, &client{user: "ann", token: tokens["ann"], plain: true, world: w, subs: []*subscription{&of}})
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var wg sync.WaitGroup
	for _, c := range w.clients {
		wg.Go(func() { c.run(ctx) })
	}
	wg.Go(func() { w.writer.run(ctx) })
	if !s.idle {
		w.caller = &caller{world: w, token: tokens["ann"], turn: make(chan struct{}, 1), acked: map[int64]bool{}}
		wg.Go(func() { w.caller.run(ctx) })
	}
	w.t.Cleanup(func() { cancel(); wg.Wait() })
}

// breach notes what must not be.
func (w *world) breach(format string, args ...any) {
	w.mu.Lock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
	w.mu.Unlock()
	w.changed.tell()
}

// note counts what may be.
func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted[what]++
}

// lost says that commits were lost that clients have seen: each subscription may
// go back once.
func (w *world) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clients {
		for _, s := range c.subs {
			w.forgiven[s] = true
		}
	}
}

// forgives reports whether a subscription may go back now, and that it did.
func (w *world) forgives(s *subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	may := w.forgiven[s]
	delete(w.forgiven, s)
	if may {
		w.noted["went back with the database"]++
	}
	return may
}

// intact fails the test at once if something is broken.
func (w *world) intact() {
	w.t.Helper()
	w.mu.Lock()
	broken := slices.Clone(w.broken)
	w.mu.Unlock()
	if len(broken) > 0 {
		text, _ := w.node.log.now()
		w.t.Fatalf("%s\nweir's log ends:\n%s", strings.Join(broken, "\n"), tail(text))
	}
	w.node.judge()
}

// recovery is how long it took until clients showed what is, from the moment
// that nothing stood in the way any more.
type recovery struct{ sessions, all time.Duration }

// recover is I1: the writers pause after one more write in each room, and every
// client comes to show what PostgreSQL answers, without anybody's help.
func (w *world) recover(what string) recovery {
	w.t.Helper()
	began := time.Now()
	w.pause()
	defer w.resume()
	for room := 1; room <= rooms; room++ {
		w.writer.write(w.t.Context(), room)
	}
	right := w.truth()
	r := recovery{sessions: w.await(what, right, false, began)}
	r.all = w.await(what, right, true, began)
	w.exactlyOnce()
	w.intact()
	return r
}

// shortly is how long writers write before something happens to them.
const shortly = 300 * time.Millisecond

// awaitAll waits until all clients show what is right now.
func (w *world) awaitAll(what string) {
	w.t.Helper()
	right := w.truth()
	w.await(what, right, false, time.Now())
	w.await(what, right, true, time.Now())
}

// kept ends what lost allowed.
func (w *world) kept() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.forgiven)
}

// pause waits until nobody writes, and keeps it so until resume.
func (w *world) pause() {
	w.writer.turn <- struct{}{}
	if w.caller != nil {
		w.caller.turn <- struct{}{}
	}
}

func (w *world) resume() {
	<-w.writer.turn
	if w.caller != nil {
		<-w.caller.turn
	}
}

// truth is what each subscription must show, by user, function and room.
func (w *world) truth() map[string]string {
	w.t.Helper()
	right := map[string]string{}
	for fn, sql := range questions {
		for room := 1; room <= rooms; room++ {
			var rows string
			w.db.ask(w.t, strings.ReplaceAll(`select coalesce(jsonb_agg(x), '[]')::text from (`+sql+`) x`, "$room", fmt.Sprint(room)), nil, &rows)
			for _, user := range users {
				shown := canonical(rows)
				if strings.Contains(sql, "$room") && !w.member(room, user) {
					shown = "denied"
				}
				right[fmt.Sprint(user, fn, room)] = shown
			}
		}
	}
	return right
}

func (w *world) member(room int, user string) (is bool) {
	w.t.Helper()
	w.db.ask(w.t, `select exists (select from members where room = $1 and user_id = $2)`, []any{room, user}, &is)
	return is
}

// await waits until the clients show what is right.
func (w *world) await(what string, right map[string]string, plain bool, began time.Time) time.Duration {
	w.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := w.changed.next()
		wrong := w.wrong(right, plain)
		if wrong == "" {
			return time.Since(began)
		}
		w.intact()
		select {
		case <-changed:
		case <-w.node.ended:
			w.intact()
			w.t.Fatalf("%s: weir has ended", what)
		case <-timer.C:
			text, _ := w.node.log.now()
			w.t.Fatalf("%s: I1: not within %v: %s\nnoted %v\nweir's log ends:\n%s", what, patience, wrong, w.noted, tail(text))
		}
	}
}

// wrong says of one client that it does not show what is right.
func (w *world) wrong(right map[string]string, plain bool) string {
	for _, c := range w.clients {
		if c.plain != plain {
			continue
		}
		c.mu.Lock()
		for _, s := range c.subs {
			want, got := right[fmt.Sprint(c.user, s.fn, max(s.room, 1))], s.shows()
			if got != want {
				said := fmt.Sprintf("%v of %s(%d) after %d streams shows\n%.300s\nright is\n%.300s", c, s.fn, s.room, c.opens, got, want)
				c.mu.Unlock()
				return said
			}
		}
		c.mu.Unlock()
	}
	return ""
}

// exactlyOnce compares the calls that were answered with what is written: each
// once, those that were lost with the database's own commits excepted.
func (w *world) exactlyOnce() {
	w.t.Helper()
	if w.caller == nil {
		return
	}
	var twice, there []int64
	w.db.ask(w.t, `select coalesce(array_agg(k) filter (where n > 1), '{}'), coalesce(array_agg(k), '{}') from (select k, count(*) as n from calls group by k) x`, nil, &twice, &there)
	if len(twice) > 0 {
		w.t.Errorf("calls %v ran twice, each with one key", twice)
	}
	w.caller.mu.Lock()
	defer w.caller.mu.Unlock()
	missing := maps.Clone(w.caller.acked)
	for _, k := range there {
		delete(missing, k)
	}
	if len(missing) > 0 {
		w.t.Errorf("calls %v were answered and are not there", slices.Sorted(maps.Keys(missing)))
	}
}

// get asks weir once, past the wire, and returns status and code.
func (w *world) get(path string) string {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.node.url+path, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var problem struct{ Code string }
	_ = json.NewDecoder(resp.Body).Decode(&problem) // a result has no code
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", problem.Code))
}

// hold lets a fault last. How long it lasts is part of the fault; nothing is
// concluded from it.
func (w *world) hold(d time.Duration) { wait(w.t.Context().Done(), d) }

// until waits until the sessions of members of their room say a status.
func (w *world) until(status string) {
	w.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := w.changed.next()
		left := 0
		for _, c := range w.clients {
			c.mu.Lock()
			for _, s := range c.subs {
				if !c.plain && s.fn == "notes.sum" && s.status != status {
					left++
				}
			}
			c.mu.Unlock()
		}
		if left == 0 {
			return
		}
		w.intact()
		select {
		case <-changed:
		case <-timer.C:
			text, _ := w.node.log.now()
			w.t.Fatalf("W9: %d sessions are not told %q\n%s", left, status, tail(text))
		}
	}
}

// signaller wakes all who wait.
type signaller struct {
	mu      sync.Mutex // protects the field below
	channel chan struct{}
}

func (s *signaller) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.channel)
	s.channel = make(chan struct{})
}

func (s *signaller) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channel
}

// brokenPlugin has a statement that no table answers.
func brokenPlugin() []byte {
	zero := 0
	m := abi.Manifest{
		ABI: abi.Version, Name: "faults", Version: "broken",
		Statements: []abi.Statement{{SQL: `select id from nowhere`}},
		Functions:  []abi.Function{{Name: "notes.list", Kind: abi.Query, Statement: &zero, Access: abi.Access{SignedIn: true}}},
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}
