package chat

import (
	"bufio"
	"context"
	"encoding/json"
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

func TestMain(m *testing.M) { devdbtest.Main(m) }

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

// starting lets one host compile the plugin, and the others find it compiled.
var starting sync.Mutex

// start starts the whole example: its weir.toml, schema, seed, plugin and page.
// Its time limits are those of a machine that does much else, under the race
// detector.
func start(t *testing.T) *hosttest.Server {
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
		TOML: read("weir.toml") + limits, Schema: read("schema.sql"), Seed: read("seed.sql"), Plugins: []string{"plugin"},
	})
}

// result is a full result of messages.list.
type result struct {
	Rows []struct {
		ID           int64
		Author, Body string
	}
}

// frames opens a stream of one query and gives its full results, and the close
// event as nil.
func frames(t *testing.T, url string) <-chan *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, res.Status)
	}
	out := make(chan *result, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		defer res.Body.Close()
		named := false
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			text, isData := strings.CutPrefix(lines.Text(), "data: ")
			switch {
			case lines.Text() == "":
				named = false
			case strings.HasPrefix(lines.Text(), "event: "):
				named = true
			case isData && !named:
				r := &result{}
				if err := json.Unmarshal([]byte(text), r); err != nil {
					t.Errorf("frame %s: %v", text, err)
				}
				out <- r
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return out
}

func next(t *testing.T, frames <-chan *result) *result {
	t.Helper()
	select {
	case r, ok := <-frames:
		if !ok {
			t.Fatal("the stream ended")
		}
		return r
	case <-time.After(patience):
		t.Fatal("no frame came")
	}
	return nil
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
