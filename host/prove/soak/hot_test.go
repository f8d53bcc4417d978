package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/load"
)

// hot is a fleet of streams that all watch one room, and who writes into it. Each
// commit is as many deliveries as there are streams.
type hot struct {
	fleet *load.Fleet
	book  *load.Book
	conn  *pgx.Conn
}

// newHot opens the fleet.
func newHot(t *testing.T, w *world, s *server, watchers int) *hot {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	h := &hot{book: load.NewBook(1), conn: w.db.Conn(t)}
	h.fleet, err = load.NewFleet(t.Context(), load.Config{
		URL: u, Token: w.token(t, hotUser, 0), Query: "messages.list", Book: h.book, Sessions: watchers,
		Args: func(int) []byte { return fmt.Appendf(nil, `{"room":%d}`, hotRoom) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.fleet.Close)
	h.fleet.Open()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if h.shown(ctx); ctx.Err() != nil {
		t.Fatalf("the streams did not open: %+v %v", h.fleet.Standing(), h.fleet.Refused())
	}
	return h
}

// Write is load.Writer.
func (h *hot) Write(ctx context.Context, _ int, changes []load.Change, committing func()) error {
	committing() // the statement commits itself
	_, err := h.conn.Exec(ctx, `update messages set body = $1 where room_id = $2`, changes[0].Text, hotRoom)
	return err
}

// shown waits until each stream shows what was committed last.
func (h *hot) shown(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && h.fleet.Refused() == nil {
		if st := h.fleet.Standing(); st.Told == st.Subscriptions && st.Behind == 0 {
			return
		}
		<-tick.C
	}
}

// turn commits n times, each when the one before is shown everywhere.
func (h *hot) turn(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := load.Writes{Book: h.book, Writer: h, Groups: 1, Size: 300, Count: n, Shown: h.shown}.Run(ctx)
	if done.Err != nil || ctx.Err() != nil {
		return fmt.Errorf("after %d of %d writes: %w %w; %+v", done.Done, n, done.Err, h.fleet.Refused(), h.fleet.Standing())
	}
	return nil
}

// judge says what no stream may have seen.
func (h *hot) judge(t *testing.T) {
	t.Helper()
	if c := h.fleet.Counts(); c.Back+c.Wrong+c.Lost+c.Reconnects != 0 || len(c.Codes) != 0 {
		t.Errorf("%d results went back, %d are not their version, %d streams were lost; told %v", c.Back, c.Wrong, c.Lost, c.Codes)
	}
}

// TestRetitledIsAnotherModule: what is deployed anew has other bytes and says the
// same.
func TestRetitledIsAnotherModule(t *testing.T) {
	t.Parallel()
	code := numbered(1)
	if a, b := string(retitled(code, 0)), string(retitled(code, 1)); a == b || a[:len(code)] != string(code) || len(a) != len(code)+15 {
		t.Errorf("%q and %q", a[len(code):], b[len(code):])
	}
}

// jsonOf asks the database for one JSON value.
func (w *world) jsonOf(t *testing.T, conn *pgx.Conn, sql string, args ...any) json.RawMessage {
	t.Helper()
	var text string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return json.RawMessage(text)
}
