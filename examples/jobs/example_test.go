package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
)

func TestMain(m *testing.M) {
	hosttest.Child()
	devdbtest.AtExit(func() { _ = os.RemoveAll(built.dir) })
	devdbtest.Main(m,
		// Connections that a client keeps for its next request.
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

// starting lets one host compile the plugin, and the others find it compiled.
var starting sync.Mutex

// shop is the whole example: its weir.toml, schema, plugin and page.
type shop struct {
	*hosttest.Server
	t *testing.T
}

func open(t *testing.T) *shop {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// The time limits are those of a machine that does much else.
	limits := `
[limits]
compile_timeout = "2m"
guest_timeout   = "10s"
policy_timeout  = "10s"
query_timeout   = "30s"
`
	starting.Lock()
	defer starting.Unlock()
	return &shop{hosttest.Start(t, hosttest.Config{
		TOML: read("weir.toml") + limits, Schema: read("schema.sql"), Plugins: []string{"plugin"},
	}), t}
}

// guest is the URL of the role that plugins have, and workers may use.
func (s *shop) guest() string { return s.DB.As("weir_guest", "") }

// built is the worker's program, built once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// worker is a worker's process.
type worker struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// employ starts a worker, which ends with the test.
func (s *shop) employ(pace time.Duration) *worker {
	s.t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "weir-posters"); built.err == nil {
			var said []byte
			said, built.err = exec.Command("go", "build", "-o", filepath.Join(built.dir, "worker"), "./worker").CombinedOutput()
			s.t.Logf("%s", said)
		}
	})
	if built.err != nil {
		s.t.Fatal(built.err)
	}
	w := &worker{exec.Command(filepath.Join(built.dir, "worker"), "-url", s.guest(), "-pace", pace.String()), make(chan struct{})}
	w.cmd.Stdout, w.cmd.Stderr = s.t.Output(), s.t.Output()
	if err := w.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = w.cmd.Wait() // it is killed
		close(w.done)
	}()
	s.t.Cleanup(w.kill)
	return w
}

// kill ends the worker as a crash does. It may be called twice.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // it may have ended
	<-w.done
}

// frames opens a stream of one query and gives the rows of its full results.
func (s *shop) frames(path string) <-chan []map[string]any {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %s", path, res.Status)
	}
	out, ended := make(chan []map[string]any, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		defer res.Body.Close()
		named := false
		lines := bufio.NewScanner(res.Body)
		for lines.Buffer(nil, 8<<20); lines.Scan(); {
			text, isData := strings.CutPrefix(lines.Text(), "data: ")
			switch {
			case lines.Text() == "":
				named = false
			case strings.HasPrefix(lines.Text(), "event: "):
				named = true
			case isData && !named:
				var r struct{ Rows []map[string]any }
				if err := json.Unmarshal([]byte(text), &r); err != nil {
					s.t.Errorf("frame %s: %v", text, err)
				}
				out <- r.Rows
			}
		}
	}()
	s.t.Cleanup(func() { cancel(); <-ended })
	return out
}

// until gives the first row of the next frame that is wanted; states in between
// may be shown or skipped.
func (s *shop) until(frames <-chan []map[string]any, what string, want func(row map[string]any) bool) map[string]any {
	s.t.Helper()
	timeout := time.After(patience)
	var last []map[string]any
	for {
		select {
		case rows, ok := <-frames:
			if !ok {
				s.t.Fatalf("the stream ended before %s", what)
			}
			if last = rows; len(rows) > 0 && want(rows[0]) {
				return rows[0]
			}
		case <-timeout:
			s.t.Fatalf("waited in vain for %s; the last frame was %v", what, last)
		}
	}
}

func (s *shop) status(frames <-chan []map[string]any, status string) map[string]any {
	s.t.Helper()
	return s.until(frames, status, func(row map[string]any) bool { return row["status"] == status })
}

// request does one request and returns the answer.
func (s *shop) request(method, path, body string) (status int, answer map[string]any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %s %s: %v", method, path, res.Status, text, err)
	}
	return res.StatusCode, answer
}

// order orders a poster and returns its number and its job.
func (s *shop) order(who, title, style string) (id, job string) {
	s.t.Helper()
	status, answer := s.request("POST", "/v1/call/posters.order?as="+who, `{"title":"`+title+`","style":"`+style+`"}`)
	if status != 200 {
		s.t.Fatalf("order: %d %v", status, answer)
	}
	id = strconv.Itoa(int(answer["result"].(map[string]any)["id"].(float64)))
	_, answer = s.request("GET", "/v1/q/posters.mine?as="+who, "")
	return id, answer["rows"].([]any)[0].(map[string]any)["job"].(string)
}

// A worker in plain SQL: what it says is in the next frame, and only its owner
// sees it.
func TestProgressArrivesLive(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, job := s.order("ann", " Dawn ", "dunes")
	if status, answer := s.request("GET", "/v1/q/weir.job?as=bob&job_id="+job, ""); status != 403 {
		t.Errorf("bob sees ann's job: %d %v", status, answer)
	}
	stream := s.frames("/v1/q/weir.job?as=ann&job_id=" + job)
	s.status(stream, "queued")
	conn, err := pgx.Connect(t.Context(), s.guest())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	do(`select * from weir.job_take('posters')`)
	s.status(stream, "running")
	for _, percent := range []float64{10, 55.5, 90} {
		do(`select weir.job_progress($1::text::uuid, 1, $2, 'at ' || $2::float8)`, job, percent)
		row := s.until(stream, "progress", func(row map[string]any) bool { return row["progress"] == percent })
		if row["message"] != "at "+strconv.FormatFloat(percent, 'g', -1, 64) {
			t.Errorf("row %v", row)
		}
	}
	picture := s.frames("/v1/q/posters.picture?as=ann&id=" + id)
	if rows := <-picture; len(rows) != 0 {
		t.Errorf("there is a picture already: %v", rows)
	}
	do(`with p as (update posters set picture = 'JPEG' where job_id = $1::text::uuid) select weir.job_finish($1::text::uuid, 1, '{"bytes": 4}')`, job)
	if row := s.status(stream, "done"); row["progress"] != 100.0 || row["output"].(map[string]any)["bytes"] != 4.0 {
		t.Errorf("row %v", row)
	}
	s.until(picture, "the picture", func(row map[string]any) bool { return row["picture"] == "SlBFRw==" })
}

// The worker's program, killed in the middle: another one takes the job when the
// lease ends, and there is one picture.
func TestWorkerThatIsKilledIsReplaced(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, job := s.order("ann", "Night", "stars")
	stream := s.frames("/v1/q/weir.job?as=ann&job_id=" + job)
	first := s.employ(50 * time.Millisecond)
	s.until(stream, "some progress", func(row map[string]any) bool { return row["progress"].(float64) > 10 })
	first.kill()
	s.SQL(t, `update weir.jobs set lease_until = now() where status = 'running'`) // as ten seconds would
	s.employ(time.Millisecond)
	s.employ(time.Millisecond)
	if row := s.status(stream, "done"); row["output"].(map[string]any)["width"] != 640.0 {
		t.Errorf("row %v", row)
	}
	s.until(s.frames("/v1/q/posters.picture?as=ann&id="+id), "the picture", func(row map[string]any) bool { return len(row["picture"].(string)) > 5000 })
	var attempts int
	if err := s.DB.Conn(t).QueryRow(t.Context(), `select attempts from weir.jobs`).Scan(&attempts); err != nil || attempts != 2 {
		t.Errorf("%d attempts, %v; want 2", attempts, err)
	}
}

// The workflow waits for the owner, and goes on where it was.
func TestPublishingWaitsForApproval(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.employ(time.Millisecond)
	id, job := s.order("ann", "Sea", "waves")
	s.status(s.frames("/v1/q/weir.job?as=ann&job_id="+job), "done")
	status, answer := s.request("POST", "/v1/call/posters.publish?as=ann", `{"id":`+id+`}`)
	if status != 200 {
		t.Fatalf("publish: %d %v", status, answer)
	}
	run := answer["result"].(map[string]any)["run"].(string)
	stream := s.frames("/v1/q/weir.workflow?as=ann&workflow_id=" + run)
	row := s.status(stream, "waiting")
	text, err := json.Marshal(row["steps"])
	if want := `[{"error":null,"name":"proof","status":"done"},{"error":null,"name":"approval","status":"waiting"},{"error":null,"name":"print","status":"pending"},{"error":null,"name":"deliver","status":"pending"}]`; err != nil || string(text) != want || row["waiting_for"] != "your approval" {
		t.Errorf("it waits for %v with %s, want %s", row["waiting_for"], text, want)
	}
	refused := func(who, name, body, code string) {
		t.Helper()
		if status, answer := s.request("POST", "/v1/call/"+name+"?as="+who, body); status != 422 || answer["code"] != code {
			t.Errorf("%s %s %s: %d %v, want %s", who, name, body, status, answer, code)
		}
	}
	refused("ann", "posters.publish", `{"id":`+id+`}`, "not_ready") // once
	refused("bob", "posters.publish", `{"id":`+id+`}`, "not_ready")
	refused("bob", "posters.answer", `{"id":`+id+`,"yes":true}`, "too_late")
	refused("bob", "posters.answer", `{"id":`+id+`,"yes":false}`, "too_late")
	refused("ann", "posters.order", `{"title":" ","style":"waves"}`, "empty")
	if status, answer := s.request("POST", "/v1/call/posters.answer?as=ann", `{"id":`+id+`,"yes":true}`); status != 200 {
		t.Fatalf("answer: %d %v", status, answer)
	}
	if row := s.status(stream, "done"); row["output"].(map[string]any)["copies"] != 250.0 || row["step"] != "deliver" {
		t.Errorf("row %v", row)
	}
	refused("ann", "posters.answer", `{"id":`+id+`,"yes":true}`, "too_late")
}
