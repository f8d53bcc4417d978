package host_test

import (
	"fmt"
	"os"
	"testing"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
)

func TestMain(m *testing.M) {
	if os.Getenv(crowdAt) != "" {
		os.Exit(crowdMain())
	}
	hosttest.Child()
	devdbtest.Main(m)
}

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

func TestCommitReachesTheStream(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	before := stream.result(t)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'ann', 'hello from a test')`)
	after := stream.result(t)
	if len(after.Rows) != len(before.Rows)+1 || after.Rows[0]["body"] != "hello from a test" {
		t.Errorf("after the insert: %s", after.raw)
	}
}

// TestGuestFunctionStaysLive: a function that looks at its rows, and nests.
func TestGuestFunctionStaysLive(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	stream := watch(t, s.URL+"/v1/q/rooms.summary?as=ann")
	before, _ := stream.result(t).Value["messages"].(float64)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'ann', 'one more')`)
	if after, _ := stream.result(t).Value["messages"].(float64); after != before+1 {
		t.Errorf("messages = %v, want %v", after, before+1)
	}
}

func TestMutationIsCheckedRunAndSeen(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=bob")
	stream.result(t)
	status, answer := post(t, s.URL+"/v1/call/messages.post?as=ann", `{"room":1,"body":"by a mutation"}`)
	if status != 200 || answer["tx"] == nil {
		t.Fatalf("post: %d %v", status, answer)
	}
	if got := stream.result(t).Rows[0]["body"]; got != "by a mutation" {
		t.Errorf("bob sees %v", got)
	}
	// The plugin's own public error, and nothing is written.
	status, answer = post(t, s.URL+"/v1/call/messages.post?as=ann", `{"room":1,"body":"  "}`)
	if answer["code"] != "empty" || answer["message"] != "write something first" {
		t.Errorf("an empty message: %d %v", status, answer)
	}
	// A policy says no inside the transaction.
	status, answer = post(t, s.URL+"/v1/call/messages.post?as=nobody", `{"room":1,"body":"let me in"}`)
	if status != 403 || answer["code"] != "denied" {
		t.Errorf("a stranger's message: %d %v", status, answer)
	}
	status, answer = post(t, s.URL+"/v1/call/messages.post", `{"room":1,"body":"let me in"}`)
	if status != 401 {
		t.Errorf("a message without a token: %d %v", status, answer)
	}
}

// TestReaderSeesItsOwnWrite: a request sees all that was committed before it (F3).
func TestReaderSeesItsOwnWrite(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann").result(t) // the group lives and is cached
	for i := range 50 {
		body := fmt.Sprintf("number %d", i)
		s.SQL(t, `insert into messages (room_id, author, body) values (1, 'ann', $1)`, body)
		_, answer := get(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
		rows := answer["rows"].([]any)
		if got := rows[0].(map[string]any)["body"]; got != body {
			t.Fatalf("after writing %q the newest message is %q", body, got)
		}
	}
}
