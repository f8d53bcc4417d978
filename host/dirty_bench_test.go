package host_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

const (
	dirtyGroups = 10_000
	// dirtyWave is how many queries the floor sends at once, as weir's waves do.
	dirtyWave = 64
)

const profiles = `create table profiles (id int primary key, handle text not null, name text not null, bio text not null, n int not null default 0);
	insert into profiles select i, 'user' || i, 'User number ' || i, repeat('x', 100) from generate_series(1, 10000) i; analyze profiles;`

// profileSQL is what every group runs, with an argument of its own.
const profileSQL = `select id, handle, name, bio, n from profiles where id = $id`

// BenchmarkDirty is N7: one commit makes ten thousand groups dirty, point queries
// with an argument each, and all of their results change. The time is from just
// before the commit until the last of them is published. Beside it, in turn in the
// same run, the same SQL with the same arguments by pgx.Batch: over one connection
// and over four at once. In "guest" a guest function returns the rows by handle. In
// "rows" the commit is a hundred statements of as many rows, which the log keeps
// one by one; else it is one statement, of which the log keeps the table.
func BenchmarkDirty(b *testing.B) {
	plain := module(statement{"profiles.get", profileSQL, []string{"id"}, []string{"id"}})
	b.Run("statement", func(b *testing.B) { benchDirty(b, plain, 1) })
	b.Run("guest", func(b *testing.B) { benchDirty(b, profileGuest(), 1) })
	b.Run("rows", func(b *testing.B) { benchDirty(b, plain, 100) })
}

// profileGuest is a guest function that asks one statement and returns its rows by
// handle.
func profileGuest() []byte {
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: profileSQL, Key: []string{"id"}}},
		Functions: []abi.Function{{
			Name: "profiles.get", Kind: abi.Query, Uses: []int{0}, Access: abi.Access{Public: true},
			Fields: []abi.Field{{Name: "id", Schema: abi.Schema{Type: "integer"}}},
		}},
	}
	return guest("profiles", m, nil, wasmtest.Join(pose(0), rows()))
}

func benchDirty(b *testing.B, plugin []byte, statements int) {
	var again atomic.Int64 // executions of groups that had a result
	all := make(chan struct{}, 1)
	s := hosttest.Start(b, hosttest.Config{
		TOML:   "plugins = \"plugins\"\n[limits]\nfirst_runs = 0\ngroups = 20000\nresync_sweep = 0\n",
		Schema: profiles, Modules: map[string][]byte{"profiles.wasm": plugin},
		Observe: func(run reactor.Run) {
			if run.Err != nil {
				b.Error(run.Err)
			}
			if run.Cause.Reason != reactor.First && again.Add(1) == dirtyGroups {
				all <- struct{}{}
			}
		},
	})
	live := make([]*host.LiveQuery, dirtyGroups)
	for i := range live {
		var err error
		if live[i], err = s.Host.Watch("profiles.get", fmt.Sprintf(`{"id":%d}`, i+1)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Host.Settle(live); err != nil {
		b.Fatal(err)
	}
	writer := s.DB.Conn(b)
	floors := make([]*pgx.Conn, 4)
	for i := range floors {
		floors[i] = s.DB.Conn(b)
	}
	dirtyFloor(b, floors) // statements are prepared

	var weir, one, four []time.Duration
	n, executions := 0, 0
	for b.Loop() {
		n++
		again.Store(0)
		weir = append(weir, dirtyCommit(b, writer, live, n, statements, all))
		if err := s.Host.Settle(live); err != nil {
			b.Fatal(err)
		}
		executions += int(again.Load())
		one = append(one, dirtyFloor(b, floors[:1]))
		four = append(four, dirtyFloor(b, floors))
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return list[len(list)/2].Seconds() * 1e3
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(weir), "weir-ms")
	b.ReportMetric(median(one), "floor-ms")
	b.ReportMetric(median(four), "floor-4-connections-ms")
	b.ReportMetric(median(weir)/median(one), "×floor")
	b.ReportMetric(float64(executions)/float64(n)/dirtyGroups, "executions/group")
}

// dirtyCommit commits a change of every row, by so many statements, and returns
// how long it took until the last result with it was published.
func dirtyCommit(b *testing.B, writer *pgx.Conn, live []*host.LiveQuery, n, statements int, all <-chan struct{}) time.Duration {
	b.Helper()
	tx, err := writer.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for i := range statements {
		rows := dirtyGroups / statements
		if _, err := tx.Exec(b.Context(), `update profiles set n = $1 where id > $2 and id <= $3`, n, i*rows, (i+1)*rows); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	if err := tx.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case <-all:
	case <-timeout.C:
		b.Fatal("not all groups ran")
	}
	// A run is counted before its result is published, by as much as a wave.
	want := fmt.Appendf(nil, `"n":%d}`, n)
	for _, l := range live {
		for !bytes.Contains(l.State().Frame.Content(), want) {
			if time.Since(began) > time.Minute {
				b.Fatalf("%s holds %s", l.Query(), l.State().Frame.Content())
			}
		}
	}
	return time.Since(began)
}

// dirtyFloor asks for every row, over some connections at once.
func dirtyFloor(b *testing.B, conns []*pgx.Conn) time.Duration {
	b.Helper()
	began := time.Now()
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			for from := i * dirtyWave; from < dirtyGroups; from += len(conns) * dirtyWave {
				if err := dirtyBatch(b.Context(), conn, from, min(from+dirtyWave, dirtyGroups)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

func dirtyBatch(ctx context.Context, conn *pgx.Conn, from, to int) error {
	batch := &pgx.Batch{}
	for id := from + 1; id <= to; id++ {
		batch.Queue(`select id, handle, name, bio, n from profiles where id = $1`, id)
	}
	results := conn.SendBatch(ctx, batch)
	for range batch.Len() {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		for rows.Next() {
			_ = rows.RawValues()
		}
		if rows.Err() != nil {
			return rows.Err()
		}
	}
	return results.Close()
}
