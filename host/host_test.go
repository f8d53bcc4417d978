package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
)

func TestMain(m *testing.M) { devdbtest.Main(m) }

// chat starts the example's plugin on a database of its own.
func chat(t *testing.T, cfg hosttest.Config) *hosttest.Server {
	t.Helper()
	cfg.Schema = text(t, "../examples/chat/schema.sql") + cfg.Schema
	cfg.Seed = text(t, "../examples/chat/seed.sql") + cfg.Seed
	cfg.Plugins = append(cfg.Plugins, "../examples/chat/plugin")
	return hosttest.Start(t, cfg)
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// events reads a stream: each event's type and data.
type event struct{ kind, data string }

func watch(t *testing.T, url string) <-chan event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	out := make(chan event, 64)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		var e event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			switch line := lines.Text(); {
			case line == "" && e.data != "":
				out <- e
				e = event{}
			case strings.HasPrefix(line, "event: "):
				e.kind = line[7:]
			case strings.HasPrefix(line, "data: "):
				e.data = line[6:]
			}
		}
	}()
	return out
}

// result returns the next full result.
func result(t *testing.T, events <-chan event) (rows []map[string]any, raw string) {
	t.Helper()
	for e := range events {
		if e.kind != "" {
			continue
		}
		var frame struct {
			Rows []map[string]any `json:"rows"`
		}
		if err := json.Unmarshal([]byte(e.data), &frame); err != nil {
			t.Fatal(err)
		}
		return frame.Rows, e.data
	}
	t.Fatal("the stream ended")
	return nil, ""
}

func TestCommitReachesTheStream(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	events := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	before, _ := result(t, events)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'ann', 'hello from a test')`)
	after, raw := result(t, events)
	if len(after) != len(before)+1 || after[0]["body"] != "hello from a test" {
		t.Errorf("after the insert: %s", raw)
	}
}
