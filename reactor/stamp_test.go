package reactor

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawSnapshots draws the snapshots of one primary, in the order of time.
func drawSnapshots(t *rapid.T) (list []Snapshot) {
	next := rapid.Uint64Range(3, 1<<40).Draw(t, "first")
	newest := next - 1
	var open []uint64
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		if n := len(open); n > 0 && rapid.Bool().Draw(t, "ends") {
			i := rapid.IntRange(0, n-1).Draw(t, "which")
			newest = max(newest, open[i])
			open = slices.Delete(open, i, i+1)
		} else {
			open = append(open, next)
			next += rapid.Uint64Range(1, 3).Draw(t, "gap")
		}
		s := Snapshot{XMin: newest + 1, XMax: newest + 1}
		for _, xid := range open {
			if xid < s.XMax {
				s.XMin = min(s.XMin, xid)
				s.XIP = append(s.XIP, xid)
			}
		}
		slices.Sort(s.XIP)
		list = append(list, s)
	}
	return list
}

// F6: snapshots of one primary are totally ordered, and what an earlier one saw a
// later one sees too.
func TestSnapshotOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawSnapshots(t)
		for i := range list {
			for j := range list {
				a, b := list[i], list[j]
				if i <= j && !b.Covers(a) {
					t.Fatalf("%v does not cover the earlier %v", b, a)
				}
				if a.Compare(b) != -b.Compare(a) {
					t.Fatalf("%v and %v have no order", a, b)
				}
				for xid := a.XMin - 1; xid <= a.XMax+1; xid++ {
					if b.Covers(a) && a.Visible(xid) && !b.Visible(xid) {
						t.Fatalf("%v covers %v but does not see %d", b, a, xid)
					}
				}
			}
		}
	})
}

func TestSnapshotText(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		s, err := ParseSnapshot(text)
		if got := s.String(); err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("ParseSnapshot(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	f("10:20:10,14", "10:20:10,14")
	f("10:10:", "10:10:")
	f("10:20:14,10,14", "10:20:10,14") // counted once
	f("20:10:", "")
	f("10:20", "")
	f("10:20:9", "")
	f("10:20:20", "")
	f("10:20:x", "")
	f("-1:20:", "")
	f("18446744073709551616:1:", "")
	s, _ := ParseSnapshot("10:20:10,14")
	for xid, want := range map[uint64]bool{9: true, 10: false, 11: true, 14: false, 19: true, 20: false} {
		if s.Visible(xid) != want {
			t.Errorf("Visible(%d) = %v", xid, !want)
		}
	}
}

func TestStampRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for _, snap := range drawSnapshots(t) {
			s := NewStamp("e", snap)
			got, err := ParseStamp(s.String())
			if err != nil || got.epoch != s.epoch || got.snapshot.String() != snap.String() {
				t.Fatalf("%v became %v, %v", s, got, err)
			}
		}
	})
}

// C4: stamps of different epochs ask nothing of each other.
// Cases: 102.
func TestStampCovers(t *testing.T) {
	t.Parallel()
	at := func(e Epoch, x uint64) Stamp { return NewStamp(e, Snapshot{XMin: x, XMax: x}) }
	f := func(s, t2 Stamp, want bool) {
		t.Helper()
		if s.Covers(t2) != want {
			t.Errorf("%v covers %v = %v", s, t2, !want)
		}
	}
	f(at("e", 5), at("e", 4), true)
	f(at("e", 4), at("e", 5), false)
	f(at("e", 4), at("f", 5), true)
	f(at("e", 4), Stamp{}, true)
	if got := at("e", 4).Later(at("e", 5)); got.snapshot.XMax != 5 {
		t.Errorf("Later is %v", got)
	}
	if got := at("e", 4).Later(at("f", 5)); got.snapshot.XMax != 4 {
		t.Errorf("Later of another epoch is %v", got)
	}
	if NewStamp("", Snapshot{XMin: 1, XMax: 1}).String() != "" {
		t.Error("an unknown epoch has a stamp")
	}
}

// A stamp comes from a client: whatever it is, it is refused or means one thing.
// Cases: 75.
func FuzzParseStamp(f *testing.F) {
	f.Add("")
	f.Add(NewStamp("e", Snapshot{XMin: 10, XMax: 20, XIP: []uint64{10, 14}}).String())
	f.Add(NewStamp("e", Snapshot{XMin: 1 << 62, XMax: 1 << 63}).String())
	f.Add(strings.Repeat("_", 64))
	f.Add("AAAAAAAAAAAB_____________wH_____________AQ")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStamp(text)
		if err != nil {
			return
		}
		if s.String() != text {
			t.Errorf("%q reads as %q", text, s.String())
		}
		snap := s.snapshot
		if s.IsZero() {
			return
		}
		if _, err := ParseSnapshot(snap.String()); err != nil {
			t.Errorf("%q is no snapshot: %v", text, err)
		}
		if !s.Covers(s) || !slices.IsSorted(snap.XIP) {
			t.Errorf("%q is out of order: %v", text, snap)
		}
	})
}
