package changelog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// BenchmarkWrite is N3: what capture costs the application. Sixteen clients each
// run update-by-key and insert, one commit each; all modes in one run, in turns,
// because the machine's speed drifts. The ratio to none is the result.
//
//	go test -run '^$' -bench BenchmarkWrite -benchtime 1x ./reactor/changelog
func BenchmarkWrite(b *testing.B) {
	modes := []string{"none", "capture", "stopped", "notify"}
	const slice, turns = 1500 * time.Millisecond, 3
	for b.Loop() {
		total := map[string]int64{}
		sites := map[string]*site{}
		for _, mode := range modes {
			sites[mode] = benchSite(b, mode)
		}
		for range turns {
			for _, mode := range modes {
				stop := func() {}
				if mode == "capture" {
					f := sites[mode].listen(Config{Deliver: func(context.Context, reactor.Batch) error { return nil }})
					f.SetLive(true)
					f.Poke()
					stop = f.stop
				}
				total[mode] += write(b, sites[mode], slice)
				stop()
			}
		}
		for _, mode := range modes {
			b.ReportMetric(float64(total[mode])/(turns*slice.Seconds()), mode+"_tx/s")
			b.ReportMetric(float64(total[mode])/float64(total["none"]), mode+"/none")
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

// write returns how many transactions sixteen clients finish in the time.
func write(b *testing.B, s *site, d time.Duration) int64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	start, until := make(chan struct{}), time.Time{}
	for range 16 {
		conn, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer closeConn(conn)
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
