package scenarios

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const auctionBids = `select id, bidder, amount from bids where auction = %s order by amount desc, id limit 10`

var auctionHouse = []function{
	{name: "auction", sql: `select a.id, a.title, a.closes_at <= $now as closed, (select max(b.amount) from bids b where b.auction = a.id) as best,
		case when a.closes_at > $now then a.closes_at end as wake_at from auctions a where a.id = $auction`, key: []string{"id"}},
	{name: "bids", sql: fmt.Sprintf(auctionBids, "$auction"), key: []string{"id"}},
	// The room is dark when the auction is over.
	{name: "room", sql: `select id, title from auctions where id = $auction`, key: []string{"id"}, policies: []string{"open"}},
	{name: "bid", kind: "mutation", policies: []string{"open"}, sql: `insert into bids (auction, bidder, amount)
		select $auction::int, $me::text, $amount::int where $amount::int > coalesce((select max(amount) from bids where auction = $auction::int), 0)`},
	{name: "open", kind: "policy", sql: `select closes_at > $now as allow, 'closed' as reason,
		case when closes_at > $now then closes_at end as wake_at from auctions where id = $auction`},
}

// TestScenarioAuction: W1, W3, W5, W9. Auctions that end at a time. Until then people
// bid, by a mutation; then everybody is told, though nothing is committed: the query
// with $now has another answer, and the room behind the policy is dark. Nobody is told
// before the time, by the database's clock, nothing is run but once for each auction,
// and a bid that comes after it is refused by the check inside its transaction.
func TestScenarioAuction(t *testing.T) {
	t.Parallel()
	const watchers = 4
	n, bidsEach := 3*min(scale(t), 5), 4*scale(t)
	w := start(t, "auction", fmt.Sprintf(`create table auctions (id int primary key, title text not null, closes_at timestamptz not null);
		create table bids (id bigserial primary key, auction int not null references auctions, bidder text not null, amount int not null);
		create index on bids (auction, amount);
		insert into auctions select i, 'lot ' || i, clock_timestamp() + interval '1 h' from generate_series(1, %d) i;`, n),
		map[string][]byte{"auction.wasm": plugin("auction", "1", auctionHouse...)})
	var hists []*history
	rooms := make([][]*client, n)
	var closing atomic.Int64 // when they close, in ns
	// What is measured is how long after the end a client is told of it.
	ends := func(r *result) time.Time {
		if !saysClosed(r) {
			return time.Time{}
		}
		return time.Unix(0, closing.Load())
	}
	for i := range n {
		h := w.watchable(t, fmt.Sprintf("bids of %d", i+1), fmt.Sprintf(auctionBids, fmt.Sprint(i+1)))
		hists = append(hists, h)
		args := fmt.Sprintf(`{"auction":%d}`, i+1)
		for c := range watchers {
			rooms[i] = append(rooms[i], w.open(t, who{name: fmt.Sprintf("a%d.%d", i+1, c)}, beats(),
				&live{name: "auction", args: args, written: ends}, &live{name: "room", args: args}, &live{name: "bids", args: args}))
		}
	}
	w.settle(t)

	// The bids, of many at once: who does not bid enough wins nothing.
	var accepted atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		for _, c := range rooms[i] {
			all.Go(func() {
				for k := range bidsEach {
					status, text, err := w.bid(t, c.who, i+1, 10*k+1+c.subs[0].id)
					if err != nil || status != http.StatusOK && status != http.StatusConflict {
						t.Errorf("a bid while it is open: %d %s %v", status, text, err)
						return
					}
					accepted.Add(1)
				}
			})
		}
	}
	all.Wait()
	w.commits.Add(accepted.Load())
	w.quiet.Store(false)
	w.settle(t)
	ran, decided := w.ran("auction"), w.ran("open")

	// They close soon; from here on nothing is committed.
	var at time.Time
	if err := w.conn.QueryRow(t.Context(), `select clock_timestamp() + interval '2.5 s'`).Scan(&at); err != nil {
		t.Fatal(err)
	}
	closing.Store(at.UnixNano())
	if _, err := w.conn.Exec(t.Context(), `update auctions set closes_at = $1`, at); err != nil {
		t.Fatal(err)
	}
	w.quiet.Store(false)
	began := time.Now()
	for i := range n {
		for _, c := range rooms[i] {
			auction, room := c.subs[1], c.subs[2]
			c.until(t, "the end of the auction", func() bool { return saysClosed(auction.result) })
			want(t, "it was told when it was over", w.over(t, w.conn, i+1), true)
			c.until(t, "a dark room", func() bool { return room.status == "denied" })
			want(t, "the room's reason", room.reason, "closed")
		}
	}
	t.Logf("all %d clients were told %v after the last commit", len(w.clients), time.Since(began).Round(time.Millisecond))
	for _, c := range w.clients {
		status, text, err := w.bid(t, c.who, 1+(c.subs[1].id+len(c.who.name))%n, 1_000_000)
		if err != nil || status != http.StatusForbidden {
			t.Errorf("a bid after the end: %d %s %v", status, text, err)
		}
	}
	w.settle(t)
	// Once for the new time and once at it: there is no polling. A machine that was
	// away for so long runs it at the new time only.
	for name, got := range map[string]tally{"auction": w.since("auction", ran), "open": w.since("open", decided)} {
		t.Logf("%s ran %d times, %d of them by the clock", name, got.runs, got.woken)
		if got.runs > 2*n || got.woken > n || got.runs-got.woken > n || got.runs < n {
			t.Errorf("%s ran %d times, %d of them by the clock, for %d auctions", name, got.runs, got.woken, n)
		}
	}
	w.auctionEnd(t, rooms, hists)
	w.row(t, "W1 W3 W5 W9", "auction", "bids", "room")
}

// saysClosed reports whether a result says that its auction is over.
func saysClosed(r *result) bool {
	var rows []struct{ Closed bool }
	return r != nil && json.Unmarshal(r.list(), &rows) == nil && len(rows) == 1 && rows[0].Closed
}

// over asks the database, whose clock is the host's.
func (w *world) over(t *testing.T, conn *pgx.Conn, auction int) (over bool) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `select clock_timestamp() >= closes_at from auctions where id = $1`, auction).Scan(&over); err != nil {
		t.Fatal(err)
	}
	return over
}

// bid bids as somebody.
func (w *world) bid(t *testing.T, who who, auction, amount int) (status int, text string, err error) {
	resp, err := who.do(t.Context(), http.MethodPost, who.address(w.URL, "/v1/call/bid"), fmt.Sprintf(`{"auction":%d,"amount":%d}`, auction, amount))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// auctionEnd compares what clients show with the database.
func (w *world) auctionEnd(t *testing.T, rooms [][]*client, hists []*history) {
	t.Helper()
	for i, room := range rooms {
		bids, err := hists[i].read(t.Context(), w.conn)
		if err != nil {
			t.Fatal(err)
		}
		var best *int
		if err := w.conn.QueryRow(t.Context(), `select max(amount) from bids where auction = $1`, i+1).Scan(&best); err != nil {
			t.Fatal(err)
		}
		for _, c := range room {
			shown, err := canonical(c.subs[3].result.list())
			if err != nil {
				t.Fatal(err)
			}
			want(t, c.who.name+"'s bids", shown, bids)
			var rows []struct {
				Best   *int
				WakeAt *string `json:"wake_at"`
			}
			if err := json.Unmarshal(c.subs[1].result.list(), &rows); err != nil || len(rows) != 1 || rows[0].WakeAt != nil ||
				(rows[0].Best == nil) != (best == nil) || best != nil && *rows[0].Best != *best {
				t.Errorf("%s shows %s, the best bid is %v", c.who.name, c.subs[1].result.list(), *best)
			}
			c.check(t)
		}
	}
}
