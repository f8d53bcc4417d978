package reactor

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

// benchColumns is how many indexed columns the table of the benchmarks has.
const benchColumns = 6

// benchCore is a core with n groups at rest, each with one atom: an equality on
// one of the columns, all of them in turn, and a value of its own.
func benchCore(n int) *core {
	cfg := &Config{Resync: -1, MaxGroups: n, Seed: 1}
	*cfg = cfg.withDefaults()
	now := time.Unix(1e9, 0)
	c := newCore("bench", cfg, now)
	frame := NewFrame("q", []byte(`"value":1`))
	snap := Snapshot{XMin: 10, XMax: 10}
	for i := range n {
		// As subscribe and accept leave it.
		g := &group{subs: 1, frame: frame, snapshot: snap, place: i}
		g.reads = ReadSet{Derived: snap, Atoms: []Atom{benchAtom(i)}}
		g.key = Key(binary.BigEndian.AppendUint64(nil, uint64(i)))
		c.all = append(c.all, g)
		c.groups[g.key] = g
	}
	return c
}

func benchAtom(i int) Atom {
	column := uint16(1 + i%benchColumns)
	return Atom{
		Table: 1, Columns: NewColumns(1, 2, 3, 4, 5, 6),
		Eq: []Equality{{Column: column, Values: []Value{IntValue(int64(i / benchColumns))}}},
	}
}

// benchBatch is one batch of one-row inserts whose values nobody reads, so that
// a change costs its probes, its entry in recent, and nothing after.
func benchBatch(from uint64, changes, n int) *Batch {
	b := &Batch{Epoch: "e", Snapshot: Snapshot{XMin: from + uint64(changes), XMax: from + uint64(changes)}}
	for i := range uint64(changes) {
		row := make(Tuple, benchColumns)
		for column := range row {
			v := int64(n) + int64(i)*7 + int64(column)
			row[column] = Datum{Column: uint16(column + 1), Value: IntValue(v)}
		}
		b.Changes = append(b.Changes, Change{XID: from + i, Table: 1, Op: Insert, Keys: []Tuple{row}})
	}
	return b
}

// BenchmarkApply is N4: what one changed row with six indexed columns costs, from
// the batch to the cursor, recent included, and what an atom costs in memory.
// Beside it: looking at every group.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			c := benchCore(n)
			before := heapBytes()
			for _, g := range c.all {
				c.index.add(g)
			}
			perAtom := float64(heapBytes()-before) / float64(n)
			const size = 1000
			xid, now := uint64(100), time.Unix(1e9, 0)
			c.epoch, c.cursor = "e", Snapshot{XMin: xid, XMax: xid}
			left := 0
			var batch *Batch
			b.ReportAllocs()
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					batch = benchBatch(xid, size, n)
					xid, left, now = xid+size, size, now.Add(5*time.Millisecond)
					b.StartTimer()
					c.feed(now, sortBatch(batch))
				}
				left--
				c.step(now, 1)
				if left == 0 {
					c.recent.forget(now, 4096)
				}
			}
			b.ReportMetric(perAtom, "B/atom")
		})
	}
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("scan/groups=%d", n), func(b *testing.B) {
			c := benchCore(n)
			change := &benchBatch(100, 1, n).Changes[0]
			for b.Loop() {
				for _, g := range c.all {
					if g.reads.Concerns(change) {
						b.Fatal("nobody reads it")
					}
				}
			}
		})
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFanIn is N6: the cost of a change for a group with many subscribers,
// its executions and its encodings.
func BenchmarkFanIn(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			cfg := Config{Resync: -1, Seed: 1}.withDefaults()
			now := time.Unix(1e9, 0)
			c := newCore("bench", &cfg, now)
			for range n {
				c.subscribe(now, newSubscription(Request{Key: "k", Name: "k"}, now))
			}
			runs, encodings, changes, xid := 0, 0, 0, uint64(10)
			content := []byte(`"value":"` + strings.Repeat("x", 1024) + `"`)
			for b.Loop() {
				now = now.Add(time.Second)
				xid++
				changes++
				snap := Snapshot{XMin: xid, XMax: xid}
				c.feed(now, sortBatch(&Batch{Epoch: "e", Snapshot: snap, Began: now, Changes: []Change{{XID: xid - 1, Table: 1, Op: Insert}}}))
				for c.step(now, 64) {
				}
				now = now.Add(time.Second) // a resync, at first, is spread
				c.tick(now, math.MaxInt)
				for _, e := range c.wave(now, 64) {
					runs, encodings = runs+1, encodings+1
					binary.BigEndian.PutUint64(content[10:], xid)
					c.finish(now, e, Result{Epoch: "e", Snapshot: snap, Reads: ReadSet{Atoms: []Atom{{Table: 1}}}, Frame: NewFrame(e.Query, content)})
				}
				c.out = outputs{}
			}
			b.ReportMetric(float64(runs)/float64(changes), "executions/change")
			b.ReportMetric(float64(encodings)/float64(changes), "encodings/change")
		})
	}
}

// BenchmarkMove is what an arriving result costs the index when one of the keys
// that it shows is another one, beside one whose atoms are those of the last.
func BenchmarkMove(b *testing.B) {
	for _, keys := range []int{1, 50, MaxSet} {
		for _, moved := range []int{0, 1} {
			b.Run(fmt.Sprintf("keys=%d/moved=%d", keys, moved), func(b *testing.B) {
				c := benchCore(10_000)
				for _, g := range c.all {
					c.index.add(g)
				}
				g := c.all[0]
				c.index.move(c.all[1], []Atom{{Table: 2, Eq: []Equality{{Column: 1, Values: []Value{IntValue(0)}}}}})
				var reads [2]ReadSet
				for i := range reads {
					atom := Atom{Table: 2, Columns: NewColumns(1), Eq: []Equality{{Column: 1}}}
					for k := range keys {
						atom.Eq[0].Values = append(atom.Eq[0].Values, IntValue(int64(k+1+i*moved)))
					}
					reads[i].Atoms = []Atom{benchAtom(0), atom}
				}
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					n++
					c.index.move(g, reads[n%2].Atoms)
				}
			})
		}
	}
}
