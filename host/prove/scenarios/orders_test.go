package scenarios

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/load"
)

// TestScenarioOrders: W1, W2, W3. Every client watches its own order, and so does the
// kitchen's; orders change their status in random order, twice in a row, so that the
// second change is under way while the first one is read. No change is missed by
// anyone, each ends at the row in the database, and no more is run than is committed,
// however many watch. The clients are those of weir bench.
func TestScenarioOrders(t *testing.T) {
	t.Parallel()
	orders, rounds := 100*min(scale(t), 10), 1+scale(t)/2
	const workers = 4
	w := start(t, "orders", fmt.Sprintf(`create table orders (id int primary key, status text not null default '', courier point);
		insert into orders select i from generate_series(0, %d) i;`, orders-1),
		map[string][]byte{"orders.wasm": plugin("orders", "1", function{name: "order", sql: `select id, status from orders where id = $id`, key: []string{"id"}})})
	base, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	book := load.NewBook(orders)
	fleet, err := load.NewFleet(t.Context(), load.Config{
		URL: base, Query: "order", Args: func(group int) []byte { return fmt.Appendf(nil, `{"id":%d}`, group) },
		Sessions: 2 * orders, Book: book,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	fleet.Open()
	settled(t, fleet)
	before, first := w.ran("order"), fleet.Counts()
	want(t, "W3: first runs", before.first, orders)
	want(t, "frames at first", first.Frames, int64(2*orders))

	w.concurrently(t, workers, func(i int, conn *pgx.Conn) error {
		rng := rand.New(rand.NewPCG(19, uint64(i)))
		for range rounds {
			for _, k := range rng.Perm((orders - i + workers - 1) / workers) {
				for range 2 {
					if err := w.order(t.Context(), conn, book, i+k*workers); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	settled(t, fleet)
	c, commits := fleet.Counts(), 2*orders*rounds
	want(t, "commits", w.commits.Load(), int64(commits))
	want(t, "L1: latencies, one for each commit and client", c.Latency.Count(), int64(2*commits))
	want(t, "results of another version than their bytes", c.Wrong, 0)
	want(t, "W2: results that went back", c.Back, 0)
	want(t, "streams that were lost", c.Lost, 0)
	want(t, "codes", len(c.Codes), 0)
	ran := w.since("order", before)
	if ran.runs > commits || ran.same != 0 || ran.failed != 0 {
		t.Errorf("W3: %d runs for %d commits, %d of them useless, %d failed; %v", ran.runs, commits, ran.same, ran.failed, w.vain)
	}
	if pushed := c.Frames - first.Frames; pushed != int64(2*ran.runs) {
		// Equal but for a client that takes longer than the next run.
		t.Logf("%d frames for %d runs and two clients each", pushed, ran.runs)
		if pushed > int64(2*ran.runs) {
			t.Errorf("%d frames for %d runs and two clients each", pushed, ran.runs)
		}
	}
	w.sameAsBook(t, book)
	w.line(t, "W1 W2 W3", 2*orders, c.Frames, c.Deltas, c.Bytes, w.ran("order"), &c.Latency)
}

// order changes the status of one order.
func (w *world) order(ctx context.Context, conn *pgx.Conn, book *load.Book, id int) error {
	n := book.Next(id)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after the commit it is nothing
	// Where the courier is, nobody watches.
	if _, err := tx.Exec(ctx, `update orders set courier = point(random(), random()) where id = $1`, id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update orders set status = $2 where id = $1`, id, book.Mark(id, n, 60)); err != nil {
		return err
	}
	book.Committing(id, n)
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	book.Committed(id, n)
	w.commits.Add(1)
	return nil
}

// settled waits until every client of a fleet shows the newest of all.
func settled(t *testing.T, fleet *load.Fleet) {
	t.Helper()
	timeout := time.NewTimer(2 * patience)
	defer timeout.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := fleet.Standing()
		if s.Told == s.Subscriptions && s.Behind == 0 {
			return
		}
		if err := fleet.Refused(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("W1: of %d subscriptions %d were told and %d are behind", s.Subscriptions, s.Told, s.Behind)
		}
	}
}

// sameAsBook fails unless the database has what was noted, which is what all show.
func (w *world) sameAsBook(t *testing.T, book *load.Book) {
	t.Helper()
	rows, err := w.conn.Query(t.Context(), `select id, status from orders`)
	if err != nil {
		t.Fatal(err)
	}
	var id int
	var status string
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error {
		n++
		if newest := book.Newest(id); status != book.Mark(id, newest, 60) {
			t.Errorf("order %d is %q, and its newest is number %d", id, status, newest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "orders in the database", n, book.Groups())
}
