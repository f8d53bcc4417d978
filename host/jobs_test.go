package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host"
	"weir/host/config"
	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
	"weir/reactor"
	"weir/reactor/changelog"
)

// worker calls weir's SQL functions, as the guest role.
type worker struct {
	t    *testing.T
	conn *pgx.Conn
}

func newWorker(t *testing.T, url string) *worker {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &worker{t, conn}
}

// call returns the text of what a function returns.
func (w *worker) call(sql string, args ...any) string {
	w.t.Helper()
	var text *string
	if err := w.conn.QueryRow(w.t.Context(), "select ("+sql+")::text", args...).Scan(&text); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// must calls what has to return true.
func (w *worker) must(sql string, args ...any) {
	w.t.Helper()
	if got := w.call(sql, args...); got != "true" {
		w.t.Fatalf("%s %v returned %s", sql, args, got)
	}
}

// showing is the next result's rows, as JSON in the order of the wire.
func showing(t *testing.T, s *stream) string {
	t.Helper()
	var r struct{ Rows json.RawMessage }
	if err := json.Unmarshal([]byte(s.result(t).raw), &r); err != nil {
		t.Fatal(err)
	}
	return string(r.Rows)
}

// until reads results until one is wanted: states in between may be shown or
// skipped.
func until(t *testing.T, s *stream, want string) {
	t.Helper()
	seen := ""
	for seen != want {
		seen = showing(t, s)
	}
}

const withAdmin = withKey + `[auth.admin]
org = "staff"
`

// A job's frame has exactly these members, and each word of the worker arrives.
func TestJobIsFollowedLive(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{})
	w := newWorker(t, s.DB.As("weir_guest", ""))
	id := w.call(`weir.job_create('resize', '{"a": 1}', owner => 'weir:dev ann')`)
	state := func(rest string) string { return `[{"job_id":"` + id + `",` + rest + `}]` }
	stream := watch(t, s.URL+"/v1/q/weir.job?as=ann&job_id="+id)
	until(t, stream, state(`"status":"queued","progress":0,"message":null,"output":null,"error":null`))
	if got := w.call(`select job_id from weir.job_take()`); got != id {
		t.Fatalf("took %s", got)
	}
	until(t, stream, state(`"status":"running","progress":0,"message":null,"output":null,"error":null`))
	w.must(`weir.job_progress($1::text::uuid, 1, 12.5, 'reading')`, id)
	until(t, stream, state(`"status":"running","progress":12.5,"message":"reading","output":null,"error":null`))
	w.must(`weir.job_progress($1::text::uuid, 1, 60)`, id)
	until(t, stream, state(`"status":"running","progress":60,"message":"reading","output":null,"error":null`))
	w.must(`weir.job_fail($1::text::uuid, 1, 'disk full', wait => '0')`, id)
	until(t, stream, state(`"status":"queued","progress":60,"message":"reading","output":null,"error":"disk full"`))
	w.call(`select job_id from weir.job_take()`)
	w.must(`weir.job_finish($1::text::uuid, 2, '{"size": [1, 2.50]}')`, id)
	until(t, stream, state(`"status":"done","progress":100,"message":null,"output":{"size":[1,2.50]},"error":null`))
}

// Steps stand in the run's row, in their order, each change in one frame.
func TestWorkflowIsFollowedLive(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{})
	w := newWorker(t, s.DB.As("weir_guest", ""))
	id := w.call(`weir.workflow_create('order', steps => '{zip,pay}')`)
	state := func(rest string) string { return `[{"workflow_id":"` + id + `",` + rest + `}]` }
	stream := watch(t, s.URL+"/v1/q/weir.workflow?as=ann&workflow_id="+id)
	until(t, stream, state(`"status":"running","step":null,"waiting_for":null,"steps":[{"name":"zip","status":"pending","error":null},{"name":"pay","status":"pending","error":null}],"output":null,"error":null`))
	w.must(`weir.workflow_step_start($1::text::uuid, 'zip')`, id)
	if got, want := showing(t, stream), state(`"status":"running","step":"zip","waiting_for":null,"steps":[{"name":"zip","status":"running","error":null},{"name":"pay","status":"pending","error":null}],"output":null,"error":null`); got != want {
		t.Errorf("one change, two frames\n got %s\nwant %s", got, want)
	}
	w.must(`weir.workflow_step_fail($1::text::uuid, 'zip', 'no such street')`, id)
	w.must(`weir.workflow_step_start($1::text::uuid, 'a step of its own')`, id)
	w.must(`weir.workflow_step_wait($1::text::uuid, 'a step of its own', 'approval')`, id)
	until(t, stream, state(`"status":"waiting","step":"a step of its own","waiting_for":"approval","steps":[{"name":"zip","status":"failed","error":"no such street"},{"name":"pay","status":"pending","error":null},{"name":"a step of its own","status":"waiting","error":null}],"output":null,"error":null`))
	w.must(`weir.workflow_fail($1::text::uuid, 'gave up')`, id)
	until(t, stream, state(`"status":"failed","step":"a step of its own","waiting_for":null,"steps":[{"name":"zip","status":"failed","error":"no such street"},{"name":"pay","status":"skipped","error":null},{"name":"a step of its own","status":"cancelled","error":null}],"output":null,"error":"gave up"`))
	none := w.call(`weir.workflow_create('bare')`)
	until(t, watch(t, s.URL+"/v1/q/weir.workflow?as=bob&workflow_id="+none),
		`[{"workflow_id":"`+none+`","status":"running","step":null,"waiting_for":null,"steps":[],"output":null,"error":null}]`)
}

// J4: admin, or owner; without an owner everyone who is signed in; nobody else.
func TestWhoMaySeeAJob(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{TOML: withAdmin})
	w := newWorker(t, s.DB.As("weir_guest", ""))
	owned := w.call(`weir.job_create('x', owner => 'https://id.test ann')`)
	free := w.call(`weir.job_create('x')`)
	// The name of the subject alone, or of another issuer, is nobody's.
	bare := w.call(`weir.job_create('x', owner => 'ann')`)
	foreign := w.call(`weir.job_create('x', owner => 'weir:dev ann')`)
	ann, bob, root := token(t, secret), token(t, secret, "sub", "bob"), token(t, secret, "sub", "root", "org", map[string]any{"name": "staff"})
	// A token that says of itself what weir fills in.
	liar := token(t, secret, "sub", "liar", "admin", true, "principal", "https://id.test ann")
	f := func(name, id, token string, want int) {
		t.Helper()
		argument := map[string]string{"weir.job": "job_id", "weir.workflow": "workflow_id"}[name]
		resp := request(t, http.MethodGet, s.URL+"/v1/q/"+name+"?"+argument+"="+id, token, "")
		status, answer := decode(t, resp)
		if status != want {
			t.Errorf("%s %s: %d %v, want %d", name, id, status, answer, want)
		}
		if status == 200 && len(answer["rows"].([]any)) != 1 {
			t.Errorf("%s %s: %v", name, id, answer)
		}
	}
	f("weir.job", owned, ann, 200)
	f("weir.job", owned, bob, 403)
	f("weir.job", owned, root, 200)
	f("weir.job", owned, liar, 403)
	f("weir.job", owned, "", 401)
	f("weir.job", free, ann, 200)
	f("weir.job", free, bob, 200)
	f("weir.job", free, root, 200)
	f("weir.job", free, "", 401)
	f("weir.job", bare, ann, 403)
	f("weir.job", foreign, ann, 403)
	f("weir.job", foreign, "dev:ann", 200)
	f("weir.job", foreign, "dev:bob", 403)
	f("weir.job", foreign, "dev:staff", 200) // what admin asks for
	f("weir.job", "00000000-0000-0000-0000-000000000000", ann, 403)
	f("weir.job", "7", ann, 400)
	owned = w.call(`weir.workflow_create('x', owner => 'https://id.test ann')`)
	free = w.call(`weir.workflow_create('x')`)
	f("weir.workflow", owned, ann, 200)
	f("weir.workflow", owned, bob, 403)
	f("weir.workflow", owned, root, 200)
	f("weir.workflow", owned, "", 401)
	f("weir.workflow", free, bob, 200)
	f("weir.workflow", free, "", 401)
	f("weir.workflow", free, liar, 200)
}

// W3, W4: all who follow a job share its runs, and another job's progress is not
// theirs.
func TestFollowersOfAJobShareItsRuns(t *testing.T) {
	t.Parallel()
	runs := make(chan string, 1000)
	changed := func(r reactor.Run) { // the tables being captured is a reason too
		if r.Cause.Change != nil && r.Cause.Change.Op != reactor.DDL {
			observed(runs)(r)
		}
	}
	s := hosttest.Start(t, hosttest.Config{Observe: changed})
	w := newWorker(t, s.DB.As("weir_guest", ""))
	id, other := w.call(`weir.job_create('x')`), w.call(`weir.job_create('x', queue => 'other')`)
	ann, bob := watch(t, s.URL+"/v1/q/weir.job?as=ann&job_id="+id), watch(t, s.URL+"/v1/q/weir.job?as=bob&job_id="+id)
	showing(t, ann)
	showing(t, bob)
	w.call(`select job_id from weir.job_take('other')`)
	for i := range 20 {
		w.must(`weir.job_progress($1::text::uuid, 1, $2)`, other, float64(i))
	}
	w.call(`select job_id from weir.job_take()`)
	for _, stream := range []*stream{ann, bob} {
		if got := showing(t, stream); !strings.Contains(got, "running") {
			t.Errorf("the next frame is %s", got)
		}
	}
	s.Stop() // every run was told
	close(runs)
	counted := map[string]int{}
	for name := range runs {
		counted[name]++
	}
	if len(counted) != 1 || counted["weir.job"] != 1 {
		t.Errorf("runs %v, want one for the one change of this job, and no decision again", counted)
	}
}

// A job that gets an owner goes dark for all others, and back; one that is
// removed shows no more to anybody.
func TestWhoMaySeeAJobIsLive(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{})
	w := newWorker(t, s.DB.As("weir_guest", ""))
	id := w.call(`weir.job_create('x')`)
	open := func(who string) *stream {
		return session(t, s.URL+"/v1/stream?as="+who, "", `{"subs":[{"id":1,"q":"weir.job","args":{"job_id":"`+id+`"}}]}`)
	}
	ann, bob := open("ann"), open("bob")
	until(t, ann, `[{"job_id":"`+id+`","status":"queued","progress":0,"message":null,"output":null,"error":null}]`)
	showing(t, bob)
	s.SQL(t, `update weir.jobs set owner = 'weir:dev ann', progress = 10`)
	bob.status(t, "denied")
	until(t, ann, `[{"job_id":"`+id+`","status":"queued","progress":10,"message":null,"output":null,"error":null}]`)
	s.SQL(t, `update weir.jobs set progress = 20`) // bob must not see this
	until(t, ann, `[{"job_id":"`+id+`","status":"queued","progress":20,"message":null,"output":null,"error":null}]`)
	s.SQL(t, `update weir.jobs set owner = null, progress = 30`)
	if got, want := showing(t, bob), `[{"job_id":"`+id+`","status":"queued","progress":30,"message":null,"output":null,"error":null}]`; got != want {
		t.Errorf("back in the light bob sees %s, want %s", got, want)
	}
	s.SQL(t, `delete from weir.jobs`)
	bob.status(t, "denied")
	ann.status(t, "denied")
}

// What is built in is described and explained as plugins' functions are.
func TestBuiltInFunctionsAreDescribed(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{})
	status, doc := get(t, s.URL+"/v1/schema?as=ann")
	text, err := json.Marshal(doc)
	if err != nil || status != 200 {
		t.Fatal(status, err)
	}
	for _, want := range []string{`"name":"weir.job"`, `"name":"weir.workflow"`, `{"policies":["weir.job_access"]}`, `"format":"uuid"`, `"waiting_for"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the schema has no %s:\n%s", want, text)
		}
	}
	explained := func(name string, wanted ...string) {
		t.Helper()
		said, err := s.Host.Explain(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range wanted {
			if !strings.Contains(said, want+"\n") {
				t.Errorf("%s does not say %q:\n%s", name, want, said)
			}
		}
	}
	explained("weir.job", "weir.jobs where job_id = $job_id and tenant = a constant; columns error, job_id, message, output, progress, status, tenant")
	// Progress makes no decision run again.
	explained("weir.job_access", "weir.jobs where job_id = $job_id and tenant = a constant; columns job_id, owner, tenant")
	explained("weir.workflow_access", "weir.workflow_runs where workflow_id = $workflow_id and tenant = a constant; columns owner, tenant, workflow_id")
	explained("weir.workflow",
		"weir.workflow_runs where workflow_id = $workflow_id and tenant = a constant; columns error, output, status, step, tenant, waiting_for, workflow_id",
		"weir.workflow_steps where workflow_id = $workflow_id and tenant = a constant; columns error, name, position, status, tenant, workflow_id")
}

// A database that an older weir has set up lacks the jobs: plugins are served,
// and the jobs come with the next setup.
func TestDatabaseWithoutJobsServesPlugins(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	setup := func(parts ...changelog.Part) {
		t.Helper()
		if _, err := changelog.Setup(t.Context(), changelog.SetupConfig{AdminURL: db.URL, Parts: parts}); err != nil {
			t.Fatal(err)
		}
	}
	setup()
	s := hosttest.Start(t, hosttest.Config{Database: &hosttest.Database{
		URL: config.Secret(db.As("weir", "")), Guest: config.Secret(db.As("weir_guest", "")),
	}})
	const id = "00000000-0000-0000-0000-000000000000"
	if status, answer := get(t, s.URL+"/v1/q/weir.job?as=ann&job_id="+id); status != 404 || answer["code"] != "unknown_function" {
		t.Errorf("without jobs: %d %v", status, answer)
	}
	setup(host.Parts()...)
	comes(t, s, id)
}

// comes waits until weir.job answers about a job that is not there.
func comes(t *testing.T, s *hosttest.Server, id string) {
	t.Helper()
	timeout, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		status, answer := get(t, s.URL+"/v1/q/weir.job?as=ann&job_id="+id)
		if status == 403 {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("weir.job does not come: %d %v", status, answer)
		}
	}
}

// W7: a role that the database knows as another tenant's must not show that
// tenant's jobs under this one's name.
func TestRoleOfAnotherTenantShowsNoJobs(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	if _, err := changelog.Setup(t.Context(), changelog.SetupConfig{AdminURL: db.URL, Parts: host.Parts()}); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `select weir.tenant_admit('weir_guest', 'acme')`)
	var id string
	if err := db.Conn(t).QueryRow(t.Context(), `insert into weir.jobs (tenant, queue, kind) values ('acme', 'q', 'k') returning job_id::text`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	s := hosttest.Start(t, hosttest.Config{Database: &hosttest.Database{
		URL: config.Secret(db.As("weir", "")), Guest: config.Secret(db.As("weir_guest", "")),
	}})
	if status, answer := get(t, s.URL+"/v1/q/weir.job?as=ann&job_id="+id); status != 404 {
		t.Errorf("%d %v", status, answer)
	}
}

// W7: two tenants of one host follow their own jobs, and whoever guesses the
// other's id is denied, admin or not, owned or not.
func TestTenantsDoNotSeeEachOthersJobs(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	if _, err := changelog.Setup(t.Context(), changelog.SetupConfig{AdminURL: db.URL, Parts: host.Parts()}); err != nil {
		t.Fatal(err)
	}
	role := "acme_" + db.Name
	db.Exec(t, `create schema acme; create role `+role+` login; select weir.tenant_admit('`+role+`', 'acme')`)
	t.Cleanup(func() { db.Exec(t, `drop owned by `+role+`; drop role `+role) })
	s := hosttest.Start(t, hosttest.Config{
		TOML: `plugins = "plugins"
[auth]
admin = { sub = "root" }
keys = [{ issuer = "https://id.test", audience = "weir", hs256 = "` + secret + `" }]
[tenant.acme]
plugins = "` + t.TempDir() + `"
schema = "acme"
guest = "` + db.As(role, "") + `"
auth.admin = { sub = "root" }
auth.keys = [{ issuer = "https://id.test", audience = "acme", hs256 = "` + secret + `" }]
`,
		Database: &hosttest.Database{URL: config.Secret(db.As("weir", "")), Guest: config.Secret(db.As("weir_guest", ""))},
	})
	mine, theirs := newWorker(t, db.As("weir_guest", "")), newWorker(t, db.As(role, ""))
	for _, owner := range []string{"null", "'https://id.test ann'"} {
		here, there := mine.call(`weir.job_create('x', owner => `+owner+`)`), theirs.call(`weir.job_create('x', owner => `+owner+`)`)
		run, other := mine.call(`weir.workflow_create('x', owner => `+owner+`)`), theirs.call(`weir.workflow_create('x', owner => `+owner+`)`)
		for _, who := range []string{"ann", "root"} {
			f := func(path string, want int) {
				t.Helper()
				audience := "weir"
				if strings.HasPrefix(path, "/t/acme") {
					audience = "acme"
				}
				resp := request(t, http.MethodGet, s.URL+path, token(t, secret, "sub", who, "aud", audience), "")
				if status, answer := decode(t, resp); status != want {
					t.Errorf("%s %s: %d %v, want %d", who, path, status, answer, want)
				}
			}
			f("/v1/q/weir.job?job_id="+here, 200)
			f("/t/acme/v1/q/weir.job?job_id="+there, 200)
			f("/v1/q/weir.job?job_id="+there, 403)
			f("/t/acme/v1/q/weir.job?job_id="+here, 403)
			f("/v1/q/weir.workflow?workflow_id="+run, 200)
			f("/t/acme/v1/q/weir.workflow?workflow_id="+other, 200)
			f("/v1/q/weir.workflow?workflow_id="+other, 403)
			f("/t/acme/v1/q/weir.workflow?workflow_id="+run, 403)
		}
	}
	// A worker of one tenant finds nothing of the other.
	if got := theirs.call(`select string_agg(job_id::text, ' ') from weir.job_take(most => 100)`); len(got) != 2*36+1 {
		t.Errorf("acme's worker took %q, want its two jobs", got)
	}
}
