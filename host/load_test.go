package host_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/hosttest"
	"weir/host/load"
)

// listWriter changes a row of a list, brings one and takes an older one away.
type listWriter struct{ conn *pgx.Conn }

// Write is load.Writer.
func (w listWriter) Write(ctx context.Context, _ int, changes []load.Change, committing func()) error {
	return pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		for _, c := range changes {
			for _, sql := range []string{
				fmt.Sprintf(`update todos set title = $1 where id = %d`, 1000+c.Group*100+c.N%20),
				fmt.Sprintf(`insert into todos values (%d, %d, $1)`, 5000+c.N*3+c.Group, c.Group),
				fmt.Sprintf(`delete from todos where id = %d and $1 <> ''`, 5000+(c.N-3)*3+c.Group),
			} {
				if _, err := tx.Exec(ctx, sql, c.Text); err != nil {
					return err
				}
			}
		}
		committing()
		return nil
	})
}

// TestLoadClientsTakeDeltas: the client that weir bench measures with, which shares no
// code with the server, makes of deltas what the server says they make: the version is
// computed from its own bytes, and the end is what was committed.
func TestLoadClientsTakeDeltas(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Schema:  todos + `insert into todos select 1000 + l * 100 + i, l, 'row ' || i from generate_series(0, 2) l, generate_series(0, 39) i;`,
		Modules: map[string][]byte{"todos.wasm": module(byList)},
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	book := load.NewBook(3)
	f, err := load.NewFleet(t.Context(), load.Config{
		URL: u, Query: "todos.list", Args: func(group int) []byte { return fmt.Appendf(nil, `{"list":%d}`, group) },
		Sessions: 9, Subscriptions: 2, Book: book,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	until := func(ctx context.Context) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && f.Refused() == nil {
			if st := f.Standing(); st.Told == st.Subscriptions && st.Behind == 0 {
				return
			}
			<-tick.C
		}
	}
	f.Open()
	until(t.Context())
	const commits = 60
	written := load.Writes{Book: book, Writer: listWriter{s.DB.Conn(t)}, Groups: 3, Size: 60, Count: commits, Shown: until}.Run(t.Context())
	until(t.Context())
	c := f.Counts()
	if written.Err != nil || f.Refused() != nil {
		t.Fatal(written.Err, f.Refused())
	}
	if c.Wrong != 0 || c.Back != 0 || c.Lost != 0 || len(c.Codes) != 0 || c.Latency.Count() != commits*6 {
		t.Errorf("%d wrong, %d went back, %d lost, told %v, %d latencies", c.Wrong, c.Back, c.Lost, c.Codes, c.Latency.Count())
	}
	if c.Deltas == 0 || c.Deltas > c.Frames-18 {
		t.Errorf("%d of %d frames were deltas", c.Deltas, c.Frames)
	}
}
