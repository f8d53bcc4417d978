package host_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/host/hosttest"
	"weir/reactor"
)

// BenchmarkOrg is the cost of a change for the members of an org who all watch one
// list, each over a stream of their own, behind a policy that finds the org of
// each in a table: a decision for each, and one result for the org. A change of
// the list should cost one execution and one encoding, and no decision.
func BenchmarkOrg(b *testing.B) {
	const members = 1000
	var executions, decisions atomic.Int64
	s := hosttest.Start(b, hosttest.Config{
		Schema:  club + fmt.Sprintf(`insert into users select 'user' || i, 'acme', 'acme' from generate_series(1, %d) i;`, members),
		Modules: map[string][]byte{"club.wasm": guarded([]notes{{name: "notes.list", org: true, policies: []string{"of.org"}}}, ofOrg)},
		Observe: func(run reactor.Run) {
			switch {
			case run.Err != nil:
				b.Error(run.Err)
			case run.Policy:
				decisions.Add(1)
			default:
				executions.Add(1)
			}
		},
	})
	shown := make(chan string, members)
	for i := range members {
		orgMember(b, fmt.Sprintf("%s/v1/q/notes.list?room=1&as=user%d", s.URL, i+1), shown)
	}
	// until returns how many frames the members were shown.
	until := func(body string) int {
		frames := map[string]bool{}
		timeout := time.NewTimer(time.Minute)
		defer timeout.Stop()
		for left := members; left > 0; {
			select {
			case data := <-shown:
				if strings.Contains(data, body) {
					left--
					frames[data] = true
				}
			case <-timeout.C:
				b.Fatalf("%d members were not shown %q", left, body)
			}
		}
		return len(frames)
	}
	until(`"first"`)
	if decisions.Load() < members {
		b.Errorf("%d decisions for %d members", decisions.Load(), members)
	}
	writer := s.DB.Conn(b)
	executions.Store(0)
	decisions.Store(0)
	changes, encodings := 0, 0
	var took time.Duration
	for b.Loop() {
		changes++
		body := fmt.Sprintf("note %d.", changes)
		began := time.Now()
		if _, err := writer.Exec(b.Context(), `insert into notes values ($1, 1, 'acme', $2)`, changes+1, body); err != nil {
			b.Fatal(err)
		}
		encodings += until(body)
		took += time.Since(began)
	}
	n := float64(changes)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(members, "members")
	b.ReportMetric(float64(executions.Load())/n, "executions/change")
	b.ReportMetric(float64(decisions.Load())/n, "decisions/change")
	b.ReportMetric(float64(encodings)/n, "encodings/change")
	b.ReportMetric(took.Seconds()*1e3/n, "ms/change")
}

// orgMember opens a member's stream and sends its results until it ends.
func orgMember(b *testing.B, url string, shown chan<- string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s", url, resp.Status)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), `data: {"q":`); ok {
				select {
				case shown <- data:
				case <-b.Context().Done():
					return
				}
			}
		}
	}()
	b.Cleanup(func() { resp.Body.Close(); <-done })
}
