package soak

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// sample is what was measured when everything that came had left.
type sample struct {
	deliveries, calls float64
	values            []float64 // by quantity
}

// quantity is something that must not grow with the work.
type quantity struct {
	name, unit string
	scale      float64 // of the unit
	// slack is how much it may grow over the second half in any case: what one
	// sample differs from another when nothing is kept. each is how much more for a
	// million deliveries. most, if it is not zero, is what it may never be above.
	slack, each, most float64
}

// kept are the quantities, in the order of a sample's values.
//
// A million deliveries come with 10 000 plugin calls, 1 000 sessions, as many
// one-query streams, 3 000 requests, 800 that are cut off, 200 changes of access and
// 50 new versions of a plugin. What is counted is exact: one goroutine, descriptor or
// group that is kept for any of these is at least 50 for a million. Memory is not: a
// heap that holds the same differs by half a megabyte from sample to sample, and the
// caches of short runs are still filling, hence the slack. What is allowed beside it,
// 200 KB for a million, is 200 bytes a session, where a session that is kept is 2 KB
// at least; so the full length, ten million, finds a tenth of that.
func kept(p plan, conns int) []quantity {
	const mb = 1 << 20
	rss := 12.0 * mb
	if detector() {
		rss = math.Inf(1)
	}
	return []quantity{
		{name: "rss", unit: "MB", scale: mb, slack: rss, each: mb},
		{name: "heap", unit: "MB", scale: mb, slack: 3 * mb, each: 0.2 * mb},
		{name: "goroutines", scale: 1, slack: 3, each: 3},
		{name: "files", scale: 1, slack: 2, each: 3},
		{name: "children", scale: 1, slack: 1},
		{name: "sessions", scale: 1, slack: 0.5, most: float64(p.watchers) + 1},
		{name: "subs", scale: 1, slack: 0.5, most: float64(p.watchers) + 4},
		{name: "groups", scale: 1, slack: 2, each: 2},
		{name: "conns", scale: 1, slack: 4, most: float64(conns)},
		// PostgreSQL makes a table larger by half a megabyte when many write, and the log
		// is three; it is looked at once a second.
		{name: "log", unit: "KB", scale: 1 << 10, slack: math.Inf(1), most: 2*float64(p.logBytes) + 2*mb},
		{name: "wal/tx", unit: "B", scale: 1, slack: 1000, each: 50},
		{name: "wal", unit: "MB", scale: mb, slack: math.Inf(1), most: 512 * mb},
		{name: "slots", scale: 1, slack: 0.5},
	}
}

// detector reports whether this is the race detector's build. What it notes for each
// address that was ever used stays resident when the heap has moved on: +0 to +16 MB
// over the second half of runs that grow by 0 to 3 in a plain build.
func detector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// growth is how much a quantity grew over the second half of the samples, by the
// line that fits it best, and over how many deliveries.
func growth(samples []sample, quantity int) (grown, deliveries float64) {
	half := samples[len(samples)/2:]
	var x, y, xx, xy float64
	for _, s := range half {
		x += s.deliveries
		y += s.values[quantity]
	}
	n := float64(len(half))
	x, y = x/n, y/n
	for _, s := range half {
		xx += (s.deliveries - x) * (s.deliveries - x)
		xy += (s.deliveries - x) * (s.values[quantity] - y)
	}
	if xx == 0 {
		return 0, 0
	}
	deliveries = half[len(half)-1].deliveries - half[0].deliveries
	return xy / xx * deliveries, deliveries
}

// judge says what is wrong with a quantity's curve, nothing if it is as it should be,
// and what was found.
func (q quantity) judge(samples []sample, i int) (found, wrong string) {
	grown, deliveries := growth(samples, i)
	allowed := q.slack + q.each*deliveries/1e6
	most := 0.0
	for _, s := range samples {
		most = max(most, s.values[i])
	}
	slope := 0.0
	if deliveries > 0 {
		slope = grown / deliveries * 1e6
	}
	found = fmt.Sprintf("%-10s %+10.3f %-2s in the second half, %+.3f for a million deliveries", q.name, grown/q.scale, q.unit, slope/q.scale)
	if !math.IsInf(allowed, 1) {
		found += fmt.Sprintf("; allowed %+.3f", allowed/q.scale)
	}
	if q.most > 0 {
		found += fmt.Sprintf("; at most %.0f of %.0f", most/q.scale, q.most/q.scale)
	}
	if grown > allowed {
		wrong = fmt.Sprintf("%s grew by %.3f %s over %.0f deliveries, at most %.3f are noise", q.name, grown/q.scale, q.unit, deliveries, allowed/q.scale)
	} else if q.most > 0 && most > q.most {
		wrong = fmt.Sprintf("%s was %.0f %s, the bound is %.0f", q.name, most/q.scale, q.unit, q.most/q.scale)
	}
	return found, wrong
}

// header and line are the curves as a table.
func header(list []quantity) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%11s %8s", "deliveries", "calls")
	for _, q := range list {
		fmt.Fprintf(&b, " %10s", strings.TrimSpace(q.name+" "+q.unit))
	}
	return b.String()
}

func (s sample) line(list []quantity) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%11.0f %8.0f", s.deliveries, s.calls)
	for i, q := range list {
		digits := 0
		if q.unit == "MB" {
			digits = 2
		}
		fmt.Fprintf(&b, " %10.*f", digits, s.values[i]/q.scale)
	}
	return b.String()
}

// TestVerdictIsAboutTheSecondHalf: what fills up in the first half and stays is no
// growth; what goes on is, and one sample that is off is not.
func TestVerdictIsAboutTheSecondHalf(t *testing.T) {
	t.Parallel()
	f := func(name string, ok bool, values ...float64) {
		t.Helper()
		var samples []sample
		for i, v := range values {
			samples = append(samples, sample{deliveries: float64(i) * 1e6, values: []float64{v}})
		}
		q := quantity{name: "goroutines", scale: 1, slack: 3, most: 100}
		if found, wrong := q.judge(samples, 0); (wrong == "") != ok {
			t.Errorf("%s: %s; %s", name, found, wrong)
		}
	}
	f("flat", true, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
	f("filled, then flat", true, 1, 20, 40, 50, 60, 60, 60, 60, 60, 60)
	f("one for each", false, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	f("in the second half only", false, 1, 1, 1, 1, 1, 1, 3, 5, 7, 9)
	f("one that is off", true, 9, 9, 9, 9, 9, 9, 9, 14, 9, 9)
	f("never above", false, 9, 101, 9, 9, 9, 9, 9, 9, 9, 9)
	f("falling", true, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0)
}
