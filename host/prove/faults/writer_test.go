package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The database of these tests. Every write has a number and leaves it in notes and
// in the gate of its room. The outcast's membership goes and comes; what is
// written in the transaction that takes it, and until it is given back, has the
// word secret. So whoever sees what he is shown sees whether he may be.
const (
	schema = `create table notes (id bigint primary key, room int not null, n bigint not null, body text not null);
	create index on notes (room, id);
	create table gates (room int primary key, n bigint not null, word text not null);
	create table members (room int, user_id text, primary key (room, user_id));
	create table calls (k bigint not null, room int not null);
	insert into gates select r, 0, 'open' from generate_series(1, 3) r;
	insert into notes select r, r, r, 'first' from generate_series(1, 3) r;
	insert into members select r, u from generate_series(1, 3) r, unnest(array['ann', 'bob']) u;
	grant usage on schema public to weir, weir_guest;
	grant trigger on all tables in schema public to weir;
	grant select, insert, update, delete on all tables in schema public to weir_guest;`
	rooms    = 3
	firstOwn = 10 // the first number of a writer
	secret   = "secret"
	outcast  = "bob"
)

// writer is the application: it writes past weir, and knows what it has
// committed.
type writer struct {
	world *world
	turn  chan struct{} // one token: who has it may write

	// Owned by who has the turn.
	conn      *pgx.Conn
	next      int64
	rng       *rand.Rand
	dark      [rooms + 1]bool // the outcast is out
	committed int64           // the newest number that is known to be
	unknown   int             // commits whose outcome had to be asked for
}

func newWriter(w *world, seed uint64) *writer {
	return &writer{world: w, turn: make(chan struct{}, 1), next: firstOwn, rng: rand.New(rand.NewPCG(seed, 1))}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case w.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		w.write(ctx, 1+w.rng.IntN(rooms))
		pause := time.Duration(5+w.rng.IntN(20)) * time.Millisecond
		<-w.turn
		wait(ctx.Done(), pause)
	}
	if w.conn != nil {
		_ = w.conn.Close(context.Background()) // the server may be gone
	}
}

// write commits the next number, however often it must try.
func (w *writer) write(ctx context.Context, room int) {
	toggle := w.rng.IntN(7) == 0
	for ctx.Err() == nil {
		err := w.commit(ctx, room, toggle)
		if err == nil {
			break
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "23505" {
			break // an earlier try has committed after it was asked for
		}
		w.drop()
		if w.arrived(ctx) {
			w.unknown++
			break
		}
	}
	if ctx.Err() != nil {
		return
	}
	if toggle {
		w.dark[room] = !w.dark[room]
	}
	w.committed = w.next
	w.next++
}

// commit tries to write the next number.
func (w *writer) commit(ctx context.Context, room int, toggle bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if w.conn == nil {
		conn, err := w.world.db.connect(ctx)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	k := w.next
	word, after := "open", ""
	switch dark := w.dark[room]; {
	case toggle && !dark:
		word, after = secret, fmt.Sprintf(`delete from members where room = %d and user_id = '%s';`, room, outcast)
	case toggle:
		after = fmt.Sprintf(`insert into members values (%[1]d, '%[2]s') on conflict do nothing;
			update notes set body = 'told', n = n where room = %[1]d and body like '%[3]s%%';`, room, outcast, secret)
	case dark:
		word = secret
	}
	_, err := w.conn.Exec(ctx, fmt.Sprintf(`begin;
		insert into notes values (%[1]d, %[2]d, %[1]d, '%[3]s %[1]d');
		update gates set n = %[1]d, word = '%[3]s' where room = %[2]d;
		delete from notes where room = %[2]d and id < %[1]d - 100;
		%[4]s commit`, k, room, word, after), pgx.QueryExecModeSimpleProtocol)
	return err
}

func (w *writer) drop() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no goodbye
	_ = w.conn.Close(ctx)
	w.conn = nil
}

// arrived asks whether the number that was being written is there, as often as it
// takes to be told.
func (w *writer) arrived(ctx context.Context) (there bool) {
	for ctx.Err() == nil {
		err := func() error {
			asking, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			conn, err := w.world.db.connect(asking)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(asking))
			return conn.QueryRow(asking, `select exists (select from notes where id = $1)`, w.next).Scan(&there)
		}()
		if err == nil {
			return there
		}
		wait(ctx.Done(), 50*time.Millisecond)
	}
	return false
}

// relearn asks the database what is so, after it has lost commits.
func (w *writer) relearn(t testing.TB) {
	t.Helper()
	var newest int64
	w.drop()
	w.world.db.ask(t, `select max(id) from notes`, nil, &newest)
	w.next, w.committed = max(newest+1, firstOwn), newest
	for room := 1; room <= rooms; room++ {
		var member bool
		w.world.db.ask(t, `select exists (select from members where room = $1 and user_id = $2)`, []any{room, outcast}, &member)
		w.dark[room] = !member
	}
}

// caller is a user who calls a mutation through weir, each with a key of its own,
// until there is an answer.
type caller struct {
	world *world
	token string
	turn  chan struct{}

	mu     sync.Mutex // protects the fields below
	acked  map[int64]bool
	tries  int
	number int64
}

func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		c.number++
		k := c.number
		c.mu.Unlock()
		for ctx.Err() == nil && !c.call(ctx, k) {
			wait(ctx.Done(), time.Duration(50+rand.IntN(200))*time.Millisecond)
		}
		<-c.turn
		wait(ctx.Done(), 100*time.Millisecond)
	}
}

// call tries once and reports whether the mutation is known to have run.
func (c *caller) call(ctx context.Context, k int64) bool {
	within, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"k":%d,"room":%d}`, k, 1+k%rooms)
	req, err := http.NewRequestWithContext(within, http.MethodPost, "http://"+c.world.front.at()+"/v1/call/notes.call", bytes.NewReader([]byte(body)))
	if err != nil {
		c.world.breach("%v", err)
		return true
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Idempotency-Key", fmt.Sprintf("call-%d", k))
	c.mu.Lock()
	c.tries++
	c.mu.Unlock()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false
	case resp.StatusCode == http.StatusOK:
		c.mu.Lock()
		c.acked[k] = true
		c.mu.Unlock()
		return true
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusConflict, resp.StatusCode == http.StatusTooManyRequests:
		c.world.note(fmt.Sprintf("call %d", resp.StatusCode))
		return false
	}
	c.world.breach("a call is answered %d %s", resp.StatusCode, text)
	return true
}
