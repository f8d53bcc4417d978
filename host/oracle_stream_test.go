package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/hosttest"
)

// shown is one stream and the question whose answer it must show in the end.
type shown struct {
	*stream
	sql  string // gives the rows as JSON
	last string
}

// canonicalJSON is one text for equal JSON.
func canonicalJSON(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// drawWrite draws a write of the chat's tables.
func drawWrite(rng *rand.Rand) string {
	room, id := 1+rng.IntN(4), 1+rng.IntN(60)
	switch n := rng.IntN(100); {
	case n < 30:
		return fmt.Sprintf("insert into messages (room_id, author, body) values (%d, 'ann', 'n %d'), (%d, 'bob', 'm')", room, rng.IntN(1000), 1+rng.IntN(4))
	case n < 45:
		return fmt.Sprintf("update messages set body = body || '.' where id = %d", id)
	case n < 60: // a message moves from room to room
		return fmt.Sprintf("update messages set room_id = %d where id %% 7 = %d", room, id%7)
	case n < 72:
		return fmt.Sprintf("delete from messages where id %% 11 = %d", id%11)
	case n < 76:
		return "truncate messages restart identity"
	case n < 82:
		return fmt.Sprintf("update rooms set name = 'room %d' where id = %d", rng.IntN(1000), room)
	case n < 88: // a key moves, and a room goes with all that is in it
		return fmt.Sprintf("insert into rooms (name) values ('gone %d'); insert into members (room_id, user_id) select max(id), 'ann' from rooms", rng.IntN(1_000_000))
	case n < 94:
		return "delete from rooms where name like 'gone%'"
	case n < 97:
		return "insert into messages (room_id, author, body) select 1 + i % 4, 'ann', 'bulk' from generate_series(1, 250) i"
	case n < 98:
		return fmt.Sprintf("alter table messages add column extra%d int", rng.IntN(1_000_000))
	}
	return fmt.Sprintf("begin; savepoint s; delete from messages; rollback to s; update messages set author = 'bob' where id = %d; commit", id)
}

// TestOracleStreamsShowTheLastState: W1 through the whole host: a plugin in
// WebAssembly, policies, SSE. After random writes every stream ends at what
// PostgreSQL answers.
func TestOracleStreamsShowTheLastState(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 2))
	s := chat(t, hosttest.Config{})
	s.SQL(t, `insert into rooms (name) select 'more ' || i from generate_series(1, 4) i;
		insert into members (room_id, user_id) select id, u from rooms, unnest(array['ann', 'bob']) u on conflict do nothing`)
	conn := s.DB.Conn(t)
	var streams []*shown
	add := func(path, sql string) { streams = append(streams, &shown{stream: watch(t, s.URL+path), sql: sql}) }
	const messages = `select coalesce(jsonb_agg(m), '[]') from (select id, author, body from messages where %s order by id desc limit %d) m`
	for room := range 4 {
		add(fmt.Sprintf("/v1/q/messages.list?room=%d&as=ann", room+1), fmt.Sprintf(messages, fmt.Sprintf("room_id = %d", room+1), 50))
		add(fmt.Sprintf("/v1/q/messages.list?room=%d&author=bob&limit=3&as=bob", room+1),
			fmt.Sprintf(messages, fmt.Sprintf("room_id = %d and author = 'bob'", room+1), 3))
	}
	for _, who := range []string{"ann", "bob"} {
		add("/v1/q/rooms.list?as="+who, `select coalesce(jsonb_agg(r order by r.name), '[]') from (
			select r.id, r.name, (select count(*) from messages m where m.room_id = r.id) as messages
			from rooms r join members me on me.room_id = r.id and me.user_id = '`+who+`') r`)
	}
	length := 4 * time.Second
	if testing.Short() {
		length = time.Second
	}
	checks, writes := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); checks++ {
		for range 1 + rng.IntN(4) {
			// A write that breaks a constraint is none.
			if _, err := conn.Exec(t.Context(), drawWrite(rng), pgx.QueryExecModeSimpleProtocol); err == nil {
				writes++
			}
		}
		for _, w := range streams {
			w.settle(t, conn, seed)
		}
	}
	t.Logf("seed %d: %d writes, %d checks of %d streams", seed, writes, checks, len(streams))
}

// settle waits until the stream shows what is right.
func (w *shown) settle(t *testing.T, conn *pgx.Conn, seed uint64) {
	t.Helper()
	var right []byte
	if err := conn.QueryRow(t.Context(), w.sql).Scan(&right); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	want := canonicalJSON(t, right)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for w.last != want || len(w.events) > 0 {
		select {
		case e, open := <-w.events:
			if !open {
				t.Fatalf("seed %d: the stream of %s ended", seed, w.url)
			}
			if e.kind != "" {
				continue
			}
			var f struct{ Rows []map[string]any }
			if err := json.Unmarshal([]byte(e.data), &f); err != nil {
				t.Fatalf("%s: %v", e.data, err)
			}
			for _, row := range f.Rows {
				delete(row, "sent_at")
				delete(row, "members")
			}
			rows, err := json.Marshal(f.Rows)
			if err != nil {
				t.Fatal(err)
			}
			w.last = string(rows)
		case <-ctx.Done():
			t.Fatalf("seed %d: missed: %s\nshows %s\nright %s", seed, w.url, w.last, want)
		}
	}
}

// TestTablesAreCapturedAfterTheirQueryChanged: a view turns to a table that
// nobody has read before, and a table is made anew: both are captured before
// they are read, so that the next write is not missed (W1, R4).
func TestTablesAreCapturedAfterTheirQueryChanged(t *testing.T) {
	t.Parallel()
	byView := statement{name: "todos.open", sql: `select id, title from open_todos order by id`, key: []string{"id"}}
	s := hosttest.Start(t, hosttest.Config{
		Schema:  todos + `create view open_todos as select id, title from todos where not done;`,
		Modules: map[string][]byte{"todos.wasm": module(byList, byView)},
	})
	byListed, byViewed := watch(t, s.URL+"/v1/q/todos.list?list=1"), watch(t, s.URL+"/v1/q/todos.open")
	until := func(what string, w *stream, n int) {
		t.Helper()
		for len(w.result(t).Rows) != n {
			t.Logf("%s: not yet %d rows", what, n)
		}
	}
	until("list", byListed, 3)
	until("view", byViewed, 9)
	const grants = `grant select on %[1]s to weir_guest; grant trigger on %[1]s to weir;`
	s.SQL(t, `create table fresh (id int primary key, title text);`+fmt.Sprintf(grants, "fresh")+
		`create or replace view open_todos as select id, title from fresh`)
	until("view of the fresh table", byViewed, 0)
	s.SQL(t, `insert into fresh values (1, 'seen')`)
	until("a row of the fresh table", byViewed, 1)

	s.SQL(t, `drop table todos; create table todos (id int primary key, list int not null, title text not null, done boolean not null default false);`+
		fmt.Sprintf(grants, "todos"))
	until("the table made anew", byListed, 0)
	s.SQL(t, `insert into todos values (1, 1, 'seen')`)
	until("a row of the table made anew", byListed, 1)
}
