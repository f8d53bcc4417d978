package reactor

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// instant is an executor that answers at once, at a snapshot that sees all. It
// notes when runs began.
type instant struct {
	mu    sync.Mutex // protects the fields below
	next  uint64
	begun chan time.Time // of the group "b"
}

func (x *instant) Execute(_ context.Context, wave []*Execution) []Result {
	x.mu.Lock()
	next := x.next
	x.mu.Unlock()
	out := make([]Result, len(wave))
	for i, e := range wave {
		if e.Call == "b" {
			x.begun <- time.Now()
		}
		snap := Snapshot{XMin: next, XMax: next}
		frame := e.Last
		if frame == nil {
			frame = NewFrame(e.Query, []byte(`"value":1`))
		}
		out[i] = Result{Epoch: "e", Snapshot: snap, Reads: ReadSet{Derived: snap, Atoms: []Atom{floodAtom(e.Call)}}, Frame: frame, Cost: 50 * time.Microsecond}
	}
	return out
}

// floodAtom is what the benchmark's groups read: those of tenant a one value each,
// that of b a table of its own.
func floodAtom(call any) Atom {
	if i, ok := call.(int); ok {
		return Atom{Table: 1, Columns: NewColumns(1), Eq: []Equality{{Column: 1, Values: []Value{IntValue(int64(i))}}}}
	}
	return Atom{Table: 2}
}

// BenchmarkFlood is N22: how long a slice of the loop takes, and how long tenant
// b's group waits between a change being applied and its run, while tenant a's
// tables change 200 000 times a second; beside it, in turn in the same run, the
// wait when nothing else happens. So many of a hundred changes of the flood make a
// group of a dirty. The wait begins before the batch is handed over.
func BenchmarkFlood(b *testing.B) {
	for _, hits := range []int{1, 50} {
		b.Run(fmt.Sprintf("hits=%d", hits), func(b *testing.B) { benchFlood(b, hits) })
	}
}

func benchFlood(b *testing.B, hits int) {
	const groups, rate, batch = 20_000, 200_000, 1_000
	x := &instant{next: 10, begun: make(chan time.Time, 16)}
	r := New(Config{Executor: x, Resync: -1, FirstRuns: -1, PrincipalGroups: -1, MaxStale: time.Hour, Seed: 1})
	var kept []time.Duration // owned by the loop
	r.sliced = func(d time.Duration) { kept = append(kept, d) }
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	defer stop()
	apply := func(changes []Change, began time.Time) {
		x.mu.Lock()
		x.next += uint64(len(changes))
		next := x.next
		x.mu.Unlock()
		for i := range changes {
			changes[i].XID = next - uint64(len(changes)) + uint64(i)
		}
		if err := r.Apply(ctx, Batch{Epoch: "e", Snapshot: Snapshot{XMin: next, XMax: next}, Began: began, Changes: changes}); err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	}
	apply(nil, time.Now())
	var ready sync.WaitGroup
	ask := func(tenant, key string, call any) {
		ready.Add(1)
		sub := r.Subscribe(Request{Tenant: tenant, Key: Key(key), Name: tenant, Call: call, Waves: true, Ready: func(*Subscription) { ready.Done() }})
		b.Cleanup(sub.Leave)
	}
	for i := range groups {
		ask("a", string(binary.BigEndian.AppendUint64(nil, uint64(i))), i)
	}
	ask("b", "b", "b")
	pump := make(chan struct{})
	var pumping sync.WaitGroup
	pumping.Go(func() { // joiners wait for a read that began after them
		for {
			select {
			case <-pump:
				return
			default:
				apply(nil, time.Now())
			}
		}
	})
	ready.Wait()
	close(pump)
	pumping.Wait()
	for len(x.begun) > 0 {
		<-x.begun
	}

	seed := uint64(1)
	flood := func() []Change {
		list := make([]Change, batch)
		for i := range list {
			seed = seed*6364136223846793005 + 1442695040888963407
			v := int64(seed>>33) % int64(groups*100/hits)
			list[i] = Change{Table: 1, Op: Insert, Keys: []Tuple{{{Column: 1, Value: IntValue(v)}}}}
		}
		return list
	}
	one := func(with bool) time.Duration {
		var changes []Change
		if with {
			changes = flood()
		}
		began := time.Now()
		apply(append(changes, Change{Table: 2, Op: Insert}), began)
		return (<-x.begun).Sub(began)
	}
	var quiet, busy []time.Duration
	interval := time.Second * batch / rate
	for b.Loop() {
		for range 100 {
			pause := time.NewTimer(interval)
			quiet = append(quiet, one(false))
			<-pause.C
		}
		for range 200 { // a second of the flood
			pause := time.NewTimer(interval)
			busy = append(busy, one(true))
			<-pause.C
		}
	}
	p99 := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)*99/100].Microseconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p99(quiet), "quiet-p99-µs")
	b.ReportMetric(p99(busy), "flood-p99-µs")
	b.ReportMetric(float64(busy[len(busy)/2].Microseconds()), "flood-p50-µs")
	b.ReportMetric(float64(quiet[len(quiet)/2].Microseconds()), "quiet-p50-µs")
	stop()
	b.ReportMetric(p99(kept), "slice-p99-µs")
}
