package faults

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
)

func TestMain(m *testing.M) {
	devdbtest.AtExit(func() { fmt.Print(report.table()) })
	devdbtest.AtExit(report.keep)
	devdbtest.Main(m)
}

// rounds is how often each fault happens: WEIR_FAULTS. Zero means that it is not
// set: only the likeliest faults happen, once.
func rounds(t testing.TB) int {
	t.Helper()
	text := cmp.Or(os.Getenv("WEIR_FAULTS"), "0")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("WEIR_FAULTS=%s: write how many rounds", text)
	}
	return n
}

// long skips a test of what is less likely unless WEIR_FAULTS asks for it.
func long(t testing.TB) int {
	t.Helper()
	n := rounds(t)
	if n == 0 {
		t.Skip("runs with WEIR_FAULTS=1, as make prove does")
	}
	return n
}

// outcomes collects what happened, for the table at the end.
type outcomes struct {
	mu   sync.Mutex // protects the fields below
	list []*outcome
}

type outcome struct {
	name, did string
	rounds    int
	times     []recovery
}

var report outcomes

// begin notes a round of a fault, and returns what takes its recovery.
func (o *outcomes) begin(name, did string) func(recovery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.list, func(of *outcome) bool { return of.name == name })
	if i < 0 {
		i = len(o.list)
		o.list = append(o.list, &outcome{name: name, did: did})
	}
	of := o.list[i]
	of.rounds++
	return func(r recovery) {
		o.mu.Lock()
		defer o.mu.Unlock()
		of.times = append(of.times, r)
	}
}

// table is what was done and how long it took until all was well again.
func (o *outcomes) table() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | what was done | rounds | recovered | p50 | max | max with EventSource |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, of := range o.list {
		var sessions, all []time.Duration
		for _, r := range of.times {
			sessions, all = append(sessions, r.sessions), append(all, r.all)
		}
		slices.Sort(sessions)
		slices.Sort(all)
		p50, most, last := "", "", ""
		if n := len(sessions); n > 0 {
			p50, most, last = seconds(sessions[(n-1)/2]), seconds(sessions[n-1]), seconds(all[n-1])
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %s | %s | %s |\n", of.name, of.did, of.rounds, len(of.times), p50, most, last)
	}
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// keep leaves the table with the other artefacts, if there is a place for them.
func (o *outcomes) keep() {
	dir, table := os.Getenv("WEIR_ARTIFACTS"), o.table()
	if dir == "" || table == "" {
		return
	}
	path := filepath.Join(dir, "faults.md")
	if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
}
