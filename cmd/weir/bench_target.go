package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/host/auth"
	"weir/host/devdb"
	"weir/host/load"
)

// benchTarget is what is measured: one that was started here, or a server of the
// user's own.
type benchTarget struct {
	url    *url.URL
	client *client
	query  string
	args   func(group int) []byte
	book   *load.Book
	conns  []*pgx.Conn // one for each writer, and a last one
	sql    string
	param  func(group int) string // $1 of sql
	pid    int

	own *ownTarget // nil for a server of the user's own
}

// ownTarget is what weir bench starts and ends.
type ownTarget struct {
	dir      string
	cluster  *devdb.Cluster
	database string
	server   *benchServer
	listen   string // once it is known, for the next start
	secret   string
	plan     benchPlan
}

func (m *Main) benchTarget(ctx context.Context, f benchFlags) (*benchTarget, error) {
	t := &benchTarget{book: load.NewBook(f.plan.Groups), pid: f.pid, sql: f.sql}
	var err error
	if f.url == "" {
		err = t.start(ctx, f.plan)
	} else {
		err = m.ownServer(ctx, t, f)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// ownServer looks at a server of the user's own: what is wrong with it is told before
// a load is made.
func (m *Main) ownServer(ctx context.Context, t *benchTarget, f benchFlags) (err error) {
	if t.client, err = m.client(clientFlags{url: f.url, as: f.as, token: f.token, dir: "."}); err != nil {
		return err
	}
	if t.url, err = url.Parse(t.client.base); err != nil {
		return err
	}
	t.query = f.query
	t.args = func(group int) []byte { return []byte(strings.ReplaceAll(f.args, "{group}", strconv.Itoa(group+1))) }
	t.param = func(group int) string { return strconv.Itoa(group + 1) }
	if _, err := objectArgs(string(t.args(0)), nil); err != nil {
		return err
	}
	if _, err := t.client.find(ctx, f.query); err != nil {
		return err
	}
	if _, err := t.version(ctx, 0); err != nil {
		return err
	}
	if f.plan.Mode == "idle" {
		return nil
	}
	return t.connect(ctx, f.database, f.plan.Writers)
}

// version asks for a group's result by a request of its own.
func (t *benchTarget) version(ctx context.Context, group int) (string, error) {
	r, err := t.client.request(ctx, "/v1/q/"+url.PathEscape(t.query), url.Values{"args": {string(t.args(group))}}, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := t.client.http.Do(r)
	if err != nil {
		return "", t.client.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return "", problemOf(resp)
	}
	return strings.Trim(resp.Header.Get("ETag"), `"`), nil
}

// last is the connection that no writer has.
func (t *benchTarget) last() *pgx.Conn { return t.conns[len(t.conns)-1] }

// connect opens the writers' connections, and one more.
func (t *benchTarget) connect(ctx context.Context, database string, writers int) error {
	cfg, err := pgx.ParseConfig(database)
	if err != nil {
		return usagef("--database cannot be read: write postgres://user:password@host/database") // CLI4
	}
	cfg.RuntimeParams["application_name"] = "weir bench"
	for range writers + 1 {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return err
		}
		t.conns = append(t.conns, conn)
	}
	return nil
}

// Write is load.Writer.
func (t *benchTarget) Write(ctx context.Context, worker int, changes []load.Change, committing func()) error {
	conn := t.conns[worker]
	if len(changes) == 1 {
		committing() // the statement commits itself
		return t.change(ctx, conn, changes[0])
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, c := range changes {
			if err := t.change(ctx, tx, c); err != nil {
				return err
			}
		}
		committing()
		return nil
	})
}

func (t *benchTarget) change(ctx context.Context, on interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, c load.Change,
) error {
	tag, err := on.Exec(ctx, t.sql, t.param(c.Group), c.Text)
	if err == nil && tag.RowsAffected() == 0 {
		return fmt.Errorf("--write-sql changed no row for group %s: make the rows of all --groups first", t.param(c.Group))
	}
	return err
}

// close ends all that was started.
func (t *benchTarget) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), benchPatience)
	defer cancel()
	for _, conn := range t.conns {
		_ = conn.Close(ctx) // it may be broken
	}
	if t.client != nil {
		t.client.close()
	}
	if t.own == nil {
		return nil
	}
	if t.own.server != nil {
		t.own.server.stop()
	}
	if t.own.cluster != nil {
		err = t.own.cluster.Close()
	}
	return errors.Join(err, os.RemoveAll(t.own.dir))
}

const benchIssuer, benchAudience = "weir:bench", "weir"

// start makes a private database with a job for each group, and a server that shows
// them by its own query weir.job: so no plugin has to be built.
func (t *benchTarget) start(ctx context.Context, plan benchPlan) (err error) {
	o := &ownTarget{plan: plan, database: "bench"}
	t.own = o
	if o.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(o.dir, "plugins"), 0o700); err != nil {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	o.secret = hex.EncodeToString(secret)
	if o.cluster, err = devdb.Start(ctx, devdb.Config{Download: true}); err != nil {
		return err
	}
	if err := withConn(ctx, o.cluster.URL(""), func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create database "+o.database)
		return err
	}); err != nil {
		return err
	}
	if err := setUp(ctx, o.cluster.URL(o.database), privateRoles); err != nil {
		return err
	}
	t.query, t.sql = "weir.job", `update weir.jobs set message = $2 where job_id = $1`
	t.param = benchJob
	t.args = func(group int) []byte { return []byte(`{"job_id":"` + benchJob(group) + `"}`) }
	if err := t.connect(ctx, o.cluster.URL(o.database), plan.Writers); err != nil {
		return err
	}
	if err := t.seed(ctx); err != nil {
		return err
	}
	token, err := auth.Mint([]byte(o.secret), map[string]any{"iss": benchIssuer, "aud": benchAudience, "sub": "bench", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		return err
	}
	if err := t.restart(ctx); err != nil {
		return err
	}
	t.client = newClient(t.own.server.URL, "", token)
	t.url, err = url.Parse(t.own.server.URL)
	return err
}

// benchJob is the id of a group's job.
func benchJob(group int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", group+1) }

// seed makes the jobs.
func (t *benchTarget) seed(ctx context.Context) error {
	ids, texts := make([]string, t.own.plan.Groups), make([]string, t.own.plan.Groups)
	for group := range ids {
		ids[group], texts[group] = benchJob(group), t.book.Mark(group, 0, t.own.plan.Size)
	}
	_, err := t.last().Exec(ctx, `insert into weir.jobs (job_id, tenant, queue, kind, status, message)
		select id::uuid, 'default', 'bench', 'bench', 'done', message from unnest($1::text[], $2::text[]) as s (id, message)`, ids, texts)
	if err != nil {
		return err
	}
	for group := range t.own.plan.Groups {
		t.book.Committed(group, 0)
	}
	_, err = t.last().Exec(ctx, "analyze weir.jobs")
	return err
}

// restart starts the server, for the second time where it listened before.
func (t *benchTarget) restart(ctx context.Context) (err error) {
	o := t.own
	if o.listen == "" {
		o.listen = "127.0.0.1:0"
	}
	many := 2*o.plan.Sessions*o.plan.Subscriptions + 10*o.plan.Sessions + o.plan.Groups + 1000
	text := fmt.Sprintf(`plugins = "plugins"
[database]
url = %q
guest = %q
[[auth.keys]]
issuer = %q
audience = %q
hs256 = %q
[limits]
sessions = %[6]d
principal_sessions = %[6]d
principal_subscriptions = %[6]d
principal_groups = %[6]d
groups = %[6]d
session_subscriptions = 1000
`, o.cluster.UserURL(privateRoles.weir, o.database), o.cluster.UserURL(privateRoles.guest, o.database), benchIssuer, benchAudience, o.secret, many)
	file := filepath.Join(o.dir, configName)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if o.server, err = startBenchServer(ctx, file, o.listen, filepath.Join(o.dir, "log")); err != nil {
		return err
	}
	u, err := url.Parse(o.server.URL)
	if err != nil {
		return err
	}
	o.listen, t.pid = u.Host, o.server.cmd.Process.Pid
	return nil
}

// connections counts the server's connections to the database.
func (t *benchTarget) connections(ctx context.Context) (n int, err error) {
	err = t.last().QueryRow(ctx, `select count(*) from pg_stat_activity where datname = $1 and usename = any($2)`,
		t.own.database, []string{privateRoles.weir, privateRoles.guest}).Scan(&n)
	return n, err
}

// stored counts the groups whose row is not what was committed last, by a question
// to the database.
func (t *benchTarget) stored(ctx context.Context) (wrong int, err error) {
	rows, err := t.last().Query(ctx, `select job_id::text, message from weir.jobs`)
	if err != nil {
		return 0, err
	}
	texts := map[string]string{}
	var id, text string
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error { texts[id] = text; return nil }); err != nil {
		return 0, err
	}
	for group := range t.own.plan.Groups {
		if texts[benchJob(group)] != t.book.Mark(group, t.book.Newest(group), t.own.plan.Size) {
			wrong++
		}
	}
	return wrong, nil
}

// oldest reads the oldest dirty group's age from the admin listener.
func (t *benchTarget) oldest(ctx context.Context) (time.Duration, error) {
	c := newClient(t.own.server.Admin, "", "")
	defer c.close()
	r, err := c.request(ctx, "/api/overview", nil, nil)
	if err != nil {
		return 0, err
	}
	body, err := c.do(r)
	if err != nil {
		return 0, err
	}
	var o overview
	if err := json.Unmarshal(body, &o); err != nil {
		return 0, err
	}
	return time.Duration(float64(o.Reactor.OldestMS) * float64(time.Millisecond)), nil
}
