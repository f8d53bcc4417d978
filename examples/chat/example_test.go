package chat

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
)

func TestMain(m *testing.M) {
	hosttest.Child()
	devdbtest.Main(m)
}

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

// starting lets one host compile the plugin, and the others find it compiled.
var starting sync.Mutex

// start starts the whole example: its weir.toml, schema, seed, plugin and page.
// Its time limits are those of a machine that does much else, under the race
// detector.
func start(t *testing.T) *hosttest.Server {
	t.Helper()
	return startWith(t, "", nil)
}

// startWith starts it with more configuration, and on a database that there is
// already, if that is not nil.
func startWith(t *testing.T, more string, database *hosttest.Database) *hosttest.Server {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	limits := `
[limits]
compile_timeout = "2m"
guest_timeout   = "10s"
policy_timeout  = "10s"
query_timeout   = "30s"
`
	starting.Lock()
	defer starting.Unlock()
	return hosttest.Start(t, hosttest.Config{
		TOML: read("weir.toml") + more + limits, Database: database, Schema: read("schema.sql"), Seed: read("seed.sql"), Plugins: []string{"plugin"},
	})
}

// result is a full result of messages.list, the newest first.
type result struct {
	Rows []struct {
		ID           int64
		Author, Body string
	}
}

// event is one event of a stream; a full result is a "message".
type event struct{ name, data string }

// frames opens a stream of one query.
func frames(t *testing.T, url string) <-chan event { return connect(t, http.MethodGet, url, "") }

// session opens a session stream that watches the messages of a room.
func session(t *testing.T, url string, room int) <-chan event {
	return connect(t, http.MethodPost, url, fmt.Sprintf(`{"subs":[{"id":1,"q":"messages.list","args":{"room":%d}}]}`, room))
}

func connect(t *testing.T, method, url, body string) <-chan event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, url, res.Status)
	}
	out := make(chan event, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		defer res.Body.Close()
		e := event{name: "message"}
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			switch line := lines.Text(); {
			case line == "":
				if e.data != "" {
					out <- e
				}
				e = event{name: "message"}
			case strings.HasPrefix(line, "event: "):
				e.name = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				e.data = line[len("data: "):]
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return out
}

// next returns the next full result.
func next(t *testing.T, stream <-chan event) *result {
	t.Helper()
	for {
		if e := hear(t, stream); e.name == "message" {
			r := &result{}
			if err := json.Unmarshal([]byte(e.data), r); err != nil {
				t.Fatalf("frame %s: %v", e.data, err)
			}
			return r
		}
	}
}

// hear returns the next event; a stream that ended gives one without a name.
func hear(t *testing.T, stream <-chan event) event {
	t.Helper()
	select {
	case e := <-stream:
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	return event{}
}

// problem is the answer to a request that must fail.
type problem struct {
	Status        int
	Code, Message string
}

func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// W1: a row written by SQL, past weir, is in the next frame.
func TestRowWrittenBySQLIsInTheNextFrame(t *testing.T) {
	t.Parallel()
	h := start(t)
	stream := frames(t, h.URL+"/v1/q/messages.list?room=1&as=ann")
	if first := next(t, stream); len(first.Rows) != 3 {
		t.Fatalf("the seed shows %+v", first)
	}
	h.SQL(t, `insert into messages (room_id, author, body) values (2, 'bob', 'another room'), (1, 'bob', 'line one
line two')`)
	after := next(t, stream)
	if len(after.Rows) != 4 || after.Rows[0].Author != "bob" || after.Rows[0].Body != "line one\nline two" {
		t.Fatalf("after the insert: %+v", after)
	}
	h.SQL(t, `update messages set body = 'edited' where id = $1`, after.Rows[0].ID)
	if edited := next(t, stream); edited.Rows[0].Body != "edited" {
		t.Fatalf("after the update: %+v", edited)
	}
	h.SQL(t, `delete from messages where id = $1`, after.Rows[0].ID)
	if deleted := next(t, stream); len(deleted.Rows) != 3 {
		t.Fatalf("after the delete: %+v", deleted)
	}
}

// The author is the caller, whatever the client sends; and who posts is seen by
// who reads.
func TestPostedMessageReachesAnotherMember(t *testing.T) {
	t.Parallel()
	h := start(t)
	bob := frames(t, h.URL+"/v1/q/messages.list?room=1&as=bob")
	next(t, bob)
	if status, body := request(t, "POST", h.URL+"/v1/call/messages.post?as=ann", `{"room":1,"body":" hello "}`); status != 200 {
		t.Fatalf("post: %d %s", status, body)
	}
	if got := next(t, bob).Rows[0]; got.Author != "ann" || got.Body != "hello" {
		t.Errorf("bob sees %+v", got)
	}
}

// Bad input and callers without access get a status, a code and a sentence.
func TestWhatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	h := start(t)
	f := func(method, path, body string, want problem) {
		t.Helper()
		status, text := request(t, method, h.URL+path, body)
		var got problem
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s %s: %s", method, path, text)
			return
		}
		if status != want.Status || got.Code != want.Code || !strings.Contains(got.Message, want.Message) {
			t.Errorf("%s %s %s\n got %d %s\nwant %+v", method, path, body, status, text, want)
		}
	}
	const list, post = "/v1/q/messages.list", "/v1/call/messages.post"
	// Room 3 is cid's.
	f("GET", list+"?room=3&as=ann", "", problem{403, "denied", ""})
	f("GET", list+"?room=999&as=ann", "", problem{403, "denied", ""})
	f("POST", post+"?as=ann", `{"room":3,"body":"let me in"}`, problem{403, "denied", ""})
	f("GET", list+"?room=1", "", problem{401, "unauthenticated", ""})
	f("GET", list+"?room=seven&as=ann", "", problem{400, "bad_request", "room"})
	f("GET", list+"?as=ann", "", problem{400, "bad_request", "room"})
	f("GET", list+"?room=1&limit=201&as=ann", "", problem{400, "bad_request", "limit"})
	f("GET", list+"?rom=1&as=ann", "", problem{400, "bad_request", `"room"`})
	f("GET", "/v1/q/mesages.list?as=ann", "", problem{404, "unknown_function", "messages.list"})
	f("POST", post+"?as=ann", `{"room":1,"room":1,"body":"twice"}`, problem{400, "bad_request", "room"})
	f("POST", post+"?as=ann", `{"room":1`, problem{400, "bad_request", ""})
	f("POST", post+"?as=ann", `{"room":1,"body":"x","me":"bob"}`, problem{400, "bad_request", "me"})
	f("POST", post+"?as=ann", `{"room":1,"body":" "}`, problem{422, "empty", "write something first"})
	f("POST", post+"?as=ann", `{"room":1,"body":"`+strings.Repeat("x", 4001)+`"}`, problem{400, "bad_request", "body"})
}

// The policy is as live as the query: who is taken out of a room hears nothing
// that is said with or after it (W5), and all of it when let in again.
func TestMemberWhoIsTakenOutHearsNothingMore(t *testing.T) {
	t.Parallel()
	h := start(t)
	bob, ann := session(t, h.URL+"/v1/stream?as=bob", 1), session(t, h.URL+"/v1/stream?as=ann", 1)
	next(t, bob)
	next(t, ann)
	alone := frames(t, h.URL+"/v1/q/messages.list?room=1&as=bob")
	next(t, alone)
	for n := range 3 {
		h.SQL(t, `begin;
			insert into messages (room_id, author, body) values (1, 'ann', 'Bob must not hear this.');
			delete from members where room_id = 1 and user_id = 'bob';
			commit`)
		for denied := false; !denied; {
			e := hear(t, bob)
			denied = e.name == "sub" && strings.Contains(e.data, `"status":"denied"`) && strings.Contains(e.data, `"reason":"member"`)
			if e.name == "" || strings.Contains(e.data, "must not hear") {
				t.Fatalf("bob hears %v", e)
			}
		}
		if got := next(t, ann); len(got.Rows) != 4+n || got.Rows[0].Body != "Bob must not hear this." {
			t.Fatalf("ann hears %+v", got)
		}
		h.SQL(t, `insert into members (room_id, user_id) values (1, 'bob')`)
		if got := next(t, bob); len(got.Rows) != 4+n {
			t.Fatalf("bob, let in again, hears %+v", got)
		}
	}
	// A stream of one query has ended, and cannot come back while it lasts.
	for e := hear(t, alone); e.name != ""; e = hear(t, alone) {
		if strings.Contains(e.data, "must not hear") {
			t.Errorf("bob hears %v", e)
		}
	}
	h.SQL(t, `delete from members where user_id = 'bob'`)
	if status, body := request(t, "GET", h.URL+"/v1/q/messages.list?room=1&as=bob", ""); status != 403 {
		t.Errorf("bob asks again: %d %s", status, body)
	}
}

// The schema has the types of the columns, from the database, with what the plugin
// knows of them: weir types makes TypeScript of it.
func TestSchemaDescribesRowsOfStatements(t *testing.T) {
	t.Parallel()
	h := start(t)
	status, body := request(t, http.MethodGet, h.URL+"/v1/schema?as=ann", "")
	for _, want := range []string{
		`"result":{"type":"array","items":{"type":"object","properties":{"id":{"type":"integer"},"author":{"type":"string"},"body":{"type":"string"},"sent_at":{"type":"string","format":"date-time"}}`,
		`"messages":{"type":"integer"},"members":{"type":"array","items":{"type":"object","properties":{"room_id":{"type":"integer"},"user":{"type":"string"}}`,
	} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d %s\nlacks %s", status, body, want)
		}
	}
}
