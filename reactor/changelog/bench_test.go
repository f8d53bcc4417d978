package changelog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// BenchmarkWrite is N3: what capture costs the application. Sixteen clients each
// run update-by-key and insert, one commit each; all modes in one run, in short
// turns, because the machine's speed drifts. The result is the ratio to none, the
// median of the turns. Clients stay connected, as an application's pool does, and
// the first turn is not counted: in it each connection makes its plans.
//
//	go test -run '^$' -bench BenchmarkWrite -benchtime 1x ./reactor/changelog
func BenchmarkWrite(b *testing.B) {
	modes := []string{"none", "capture", "stopped", "notify"}
	const slice, turns = 500 * time.Millisecond, 11
	for b.Loop() {
		rates, ratios := map[string][]float64{}, map[string][]float64{}
		sites, clients := map[string]*site{}, map[string][]*pgx.Conn{}
		for _, mode := range modes {
			sites[mode] = benchSite(b, mode)
			for range 16 {
				clients[mode] = append(clients[mode], sites[mode].Conn(b))
			}
		}
		// It looks once a second while others are measured.
		reader := sites["capture"].listen(Config{Deliver: func(context.Context, reactor.Batch) error { return nil }})
		for turn := range turns + 1 {
			for _, mode := range modes {
				reader.SetLive(mode == "capture")
				rate := float64(write(b, clients[mode], slice)) / slice.Seconds()
				if turn > 0 {
					rates[mode] = append(rates[mode], rate)
					ratios[mode] = append(ratios[mode], rate/rates["none"][turn-1])
				}
			}
		}
		reader.stop()
		for _, mode := range modes {
			slices.Sort(rates[mode])
			slices.Sort(ratios[mode])
			b.ReportMetric(rates[mode][turns/2], mode+"_tx/s")
			b.ReportMetric(ratios[mode][turns/2], mode+"/none")
		}
	}
}

func benchSite(b *testing.B, mode string) *site {
	s := newSite(b, `create table t (id int primary key, room int, n int, body text); create index on t (room);
		insert into t select g, g % 100, 0, 'body' from generate_series(1, 100000) g; create sequence ids start 1000000`)
	switch mode {
	case "capture":
		s.watch("t", 1, 2)
	case "stopped":
		s.watch("t", 1, 2)
		s.exec(`update weir.reader set seen_at = now() - interval '1 day'`)
	case "notify":
		s.exec(`create function told() returns trigger language plpgsql as 'begin perform pg_notify(''t'', ''''); return null; end';
			create trigger told after insert or update on t for each statement execute function told()`)
	}
	s.exec(`vacuum analyze t`)
	return s
}

// write returns how many transactions the clients finish in the time.
func write(b *testing.B, clients []*pgx.Conn, d time.Duration) int64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	start, until := make(chan struct{}), time.Time{}
	for _, conn := range clients {
		wg.Go(func() {
			<-start
			for time.Now().Before(until) {
				_, err := conn.Exec(ctx, `update t set n = n + 1 where id = $1`, 1+rand.IntN(100000))
				if err == nil {
					_, err = conn.Exec(ctx, `insert into t values (nextval('ids'), $1, 0, 'body')`, rand.IntN(100))
				}
				if err != nil {
					b.Error(fmt.Errorf("write: %w", err))
					return
				}
				done.Add(2)
			}
		})
	}
	until = time.Now().Add(d)
	close(start)
	wg.Wait()
	return done.Load()
}
