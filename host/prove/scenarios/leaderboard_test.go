package scenarios

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
)

const leaderboardTop = `select player, name, score from scores where board = %s order by score desc, player limit 100`

// TestScenarioLeaderboard: W1, W2, W3. The best hundred of many players. A score
// below the last one costs nothing; one that crosses the boundary costs one run, and a
// delta that is a fifth of the list at most; a storm of scores costs no more runs than
// commits, and what clients make of deltas is the list.
func TestScenarioLeaderboard(t *testing.T) {
	t.Parallel()
	const players, boards, watchers = 400, 2, 4
	commits := 100 * scale(t)
	w := start(t, "leaderboard", fmt.Sprintf(`create table scores (player int not null, board int not null, name text not null, score int not null, seen timestamptz, primary key (board, player));
		create index on scores (board, score desc, player);
		insert into scores select i, b, 'player number ' || i, 10 * (%d - i) from generate_series(1, %[1]d) i, generate_series(1, %d) b;`, players, boards),
		map[string][]byte{"scores.wasm": plugin("scores", "1", function{name: "top", sql: fmt.Sprintf(leaderboardTop, "$board"), key: []string{"player"}})})
	var tops []*history
	for b := range boards {
		h := w.watchable(t, fmt.Sprintf("top of board %d", b+1), fmt.Sprintf(leaderboardTop, fmt.Sprint(b+1)))
		for c := range watchers {
			w.open(t, who{name: fmt.Sprintf("b%d.%d", b+1, c)}, beats(), &live{name: "top", args: fmt.Sprintf(`{"board":%d}`, b+1), scope: h})
		}
		tops = append(tops, h)
	}
	w.settle(t)
	w.fresh(t)
	f := func(what, sql string, runs int) {
		t.Helper()
		w.exactly(t, what, cost{"top": runs}, int64(runs*watchers), func() {
			w.commit(t, w.conn, commit{sql: sql, touches: tops[:1]})
		})
	}
	score := func(player, score int) string {
		return fmt.Sprintf(`update scores set score = %d where board = 1 and player = %d`, score, player)
	}
	f("seen", `update scores set seen = clock_timestamp() where board = 1 and player < 100`, 0)
	f("a score below the boundary", score(300, 2999), 0) // the hundredth has 3000
	f("a score that stays above it", score(50, 3501), 1)
	f("a player who comes in", score(300, 3001), 1)
	f("a player who drops out", score(50, 1), 1)
	f("a new first", score(99, 9999), 1)
	f("as good as the last one, and before it by the second column", score(50, 3000), 1)
	f("a player who goes", `delete from scores where board = 1 and player = 1`, 1)
	f("a player who is new and no good", `insert into scores values (1001, 1, 'no good', 0)`, 0)
	sent, made := w.deltaBytes()
	frames, deltas, _ := w.frames()
	want(t, "frames after the first that were deltas", deltas, frames-int64(len(w.clients)))
	if sent*5 > made {
		t.Errorf("deltas took %d bytes, the lists that they made %d: that is not a fifth", sent, made)
	}

	before, done := w.ran("top"), w.commits.Load()
	w.concurrently(t, boards, func(i int, conn *pgx.Conn) error {
		rng := rand.New(rand.NewPCG(13, uint64(i)))
		for range commits {
			if err := w.try(t.Context(), conn, storm(rng, i+1, tops[i])); err != nil {
				return err
			}
		}
		return nil
	})
	w.settle(t)
	w.fresh(t, tops...)
	stormed := w.since("top", before)
	if n := int(w.commits.Load() - done); stormed.runs > n {
		t.Errorf("W3: %d runs for %d commits", stormed.runs, n)
	}
	sent2, made2 := w.deltaBytes()
	t.Logf("storm: %d commits, %d runs; deltas took %d of %d kB; one by one %d of %d", w.commits.Load()-done, stormed.runs, (sent2-sent)>>10, (made2-made)>>10, sent>>10, made>>10)
	w.row(t, "W1 W2 W3", "top")
}

// storm draws a change of one to three scores, most of them near the boundary.
func storm(rng *rand.Rand, board int, h *history) commit {
	sql := ""
	for range 1 + rng.IntN(3) {
		player, score := 1+rng.IntN(400), 2500+rng.IntN(1000)
		if rng.IntN(4) == 0 {
			score = rng.IntN(8000)
		}
		sql += fmt.Sprintf(`update scores set score = %d where board = %d and player = %d;`, score, board, player)
	}
	return commit{sql: sql, touches: []*history{h}}
}

// deltaBytes is what deltas took, and what the results that they made would have.
func (w *world) deltaBytes() (sent, made int64) {
	for _, c := range w.clients {
		c.mu.Lock()
		sent, made = sent+c.deltaBytes, made+c.fullBytes
		c.mu.Unlock()
	}
	return sent, made
}
