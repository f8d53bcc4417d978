package host_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/hosttest"
)

// BenchmarkQuietTenant is W7's figure: the quiet tenant's commit → SSE while
// another tenant loops, runs slow SQL, or is written to in a storm, and while it
// does all three, beside the value when it does nothing; in turns of the same run.
// The quiet tenant's function is a statement.
func BenchmarkQuietTenant(b *testing.B) {
	s := hosttest.Start(b, hosttest.Config{
		TOML: twoTenants + "[tenant.acme.limits]\nexecutions = 4\nquery_timeout = \"1s\"\nbreaker_failures = 0\n",
		Tenants: map[string]hosttest.Tenant{
			"acme": {Schema: items("acme") + `; insert into items select i, 'more' from generate_series(3, 50) i`, Modules: map[string][]byte{"items.wasm": noisy()}},
			"bolt": {Schema: items("bolt"), Modules: map[string][]byte{"items.wasm": listing()}},
		},
	})
	writer, stormer := s.DB.Conn(b), s.DB.Conn(b)
	client := benchClient(b, s.URL+"/t/bolt/v1/q/items.open")
	kinds := [][]string{nil, {"loop"}, {"slow"}, {"one"}, {"loop", "slow", "one"}}
	took := make([][]time.Duration, len(kinds))
	n := 0
	for b.Loop() {
		for i, kind := range kinds {
			stop := noise(b, s, stormer, kind)
			for range 100 {
				n++
				took[i] = append(took[i], commitTo(b, writer, `update bolt.items set title = $1 where id = 1`, fmt.Sprintf("number %d.", n), client))
			}
			stop()
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"quiet", "loop", "slow", "storm", "all"} {
		slices.Sort(took[i])
		b.ReportMetric(took[i][len(took[i])*99/100].Seconds()*1e3, name+"-p99-ms")
	}
}

// noise lets the noisy tenant do what kinds say until stop: thirty groups of each
// function, whose rows change all the time, in a storm for the kind "one" and
// twenty times a second for others.
func noise(b *testing.B, s *hosttest.Server, conn *pgx.Conn, kinds []string) (stop func()) {
	b.Helper()
	if kinds == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(b.Context())
	var subs []string
	for i := range 30 {
		for _, name := range kinds {
			subs = append(subs, fmt.Sprintf(`{"id":"%s%d","q":"items.%s","args":{"id":%d}}`, name, i, name, i+1))
		}
	}
	var all sync.WaitGroup
	all.Go(func() { drain(ctx, s.URL+"/t/acme/v1/stream", `{"subs":[`+strings.Join(subs, ",")+`]}`) })
	pause := 50 * time.Millisecond
	if slices.Contains(kinds, "one") {
		pause = 0
	}
	all.Go(func() {
		for ctx.Err() == nil {
			if _, err := conn.Exec(context.WithoutCancel(ctx), `update acme.items set title = 'at ' || clock_timestamp() where id <= 30`); err != nil {
				b.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	})
	return func() { cancel(); all.Wait() }
}

// drain reads a session stream until ctx ends.
func drain(ctx context.Context, url, body string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}
