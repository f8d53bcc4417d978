package host_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/host"
	"weir/host/db"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

// wireOracle is one random world behind a whole host, with clients that watch it
// through HTTP. Every client's rows are compared with what PostgreSQL answers.
type wireOracle struct {
	t         *testing.T
	seed      uint64
	world     *host.World
	server    *hosttest.Server
	plain     *pgconn.PgConn
	tick      *pgx.Conn // counts the checks, in a table
	questions []host.Question
	clients   []*wireClient
	tally     *wireTally

	mu            sync.Mutex // protects the fields below
	runs, useless int
}

// wireTally counts what all worlds saw.
type wireTally struct {
	worlds, checks, compared, told int
	runs, useless                  int
	saw                            wireCounts
	wrote                          []string
	refused                        host.Refusals
}

const (
	wireQuestions = 36
	// wireTick is a number that only grows, and a result that rests on it.
	wireTick = `create table tick (n int8 not null); insert into tick values (0);`
)

// newWireOracle starts a host with a plugin of questions that it takes.
func newWireOracle(t *testing.T, seed uint64, tally *wireTally) *wireOracle {
	t.Helper()
	o := &wireOracle{t: t, seed: seed, world: host.NewWorld(seed), tally: tally}
	o.world.Refused = tally.refused
	loaded := make(chan host.Event, 16)
	o.server = hosttest.Start(t, hosttest.Config{
		Schema: o.world.Schema() + wireTick, Observe: o.observe,
		Event: func(e host.Event) {
			if e.Kind == host.PluginLoaded || e.Kind == host.PluginFailed {
				select {
				case loaded <- e:
				default:
				}
			}
		},
	})
	o.world.Fill(t, seed, o.server.DB)
	o.plain, o.tick = host.Plain(t, o.server.DB), o.server.DB.Conn(t)
	o.questions = []host.Question{
		host.Stated("select n from tick"),
		host.Stated("select (select n from tick) as n, count(*) as o1 from plain"),
		host.Stated("select id, k, t, repeat('so it goes ', 9) as x from plain order by id", "id"), // deltas are smaller
		host.Stated("select id, k, t, repeat('so it goes ', 9) as x from pair", "id", "k"),
		host.Stated("select d.*, repeat('so it goes ', 9) as x from docs d order by t, id", "id"),
		host.Stated("select id, k, t, repeat('so it goes ', 9) as x from bare", "k", "t"), // many rows of a key
		host.Nested("id"),
		host.Nested(),
	}
	for len(o.questions) < wireQuestions {
		o.questions = append(o.questions, o.world.Question(t, o.server.Host))
	}
	o.server.Write(t, "drawn.wasm", o.plugin())
	for e := range loaded {
		if e.Name != "drawn.wasm" && !strings.HasPrefix(e.Name, "drawn") {
			continue
		}
		if e.Kind == host.PluginFailed {
			t.Fatalf("seed %d: %v", seed, e.Err)
		}
		break
	}
	for i := range 5 {
		o.join(i)
	}
	for i := range 6 {
		o.alone(i)
	}
	tally.worlds++
	return o
}

func (o *wireOracle) observe(r reactor.Run) {
	if r.Cause.Reason == reactor.First {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs++
	if r.Same {
		o.useless++
	}
}

// plugin states all questions, each a function of one statement, with those below.
func (o *wireOracle) plugin() []byte {
	m := abi.Manifest{ABI: abi.Version, Name: "drawn", Version: "1"}
	for i, q := range o.questions {
		f := abi.Function{Name: fmt.Sprintf("q%d", i), Kind: abi.Query, Statement: &i, Access: abi.Access{Public: true}}
		for p := range q.Args {
			f.Fields = append(f.Fields, abi.Field{Name: fmt.Sprintf("p%d", p), Schema: abi.Schema{}})
		}
		m.Statements = append(m.Statements, abi.Statement{SQL: q.SQL, Key: q.Key, Nest: q.Nest})
		m.Functions = append(m.Functions, f)
	}
	for i, q := range o.questions {
		family := append([]abi.Statement{m.Statements[i]}, q.Children...)
		for j, s := range family {
			s.Nest = slices.Clone(s.Nest)
			for n := range s.Nest {
				s.Nest[n].Statement += len(m.Statements)
			}
			family[j] = s
		}
		m.Statements[i] = family[0]
		m.Statements = append(m.Statements, family[1:]...)
	}
	bumps(&m)
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}

// args are the arguments of a question as JSON.
func (o *wireOracle) args(question int) string {
	var members []string
	for i, v := range o.questions[question].Args {
		members = append(members, fmt.Sprintf(`"p%d":%s`, i, v.AppendJSON(nil)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// drawn draws a question that is none of those that only grow.
func (o *wireOracle) drawn() int { return 2 + o.world.IntN(len(o.questions)-2) }

// join opens a session of many questions.
func (o *wireOracle) join(i int) {
	c := newClient(o.t, o.server.URL, fmt.Sprintf("session %d", i))
	c.delta, c.lazy, c.moving = i > 0, i == 2, i >= 3
	c.watch(0, true)
	c.watch(1, true)
	for question := 2; question < 8; question++ {
		c.watch(question, false)
	}
	for range 20 {
		c.watch(o.drawn(), false)
	}
	o.clients = append(o.clients, c)
	c.open(o)
}

// alone opens a stream of one question.
func (o *wireOracle) alone(i int) {
	c := newClient(o.t, o.server.URL, fmt.Sprintf("stream %d", i))
	c.single, c.delta, c.moving, c.lazy = true, i%2 == 0, i%3 != 0, i == 3
	if i == 1 {
		c.watch(0, true)
	} else {
		c.watch(o.drawn(), false)
	}
	o.clients = append(o.clients, c)
	c.open(o)
}

// round changes something, and looks.
func (o *wireOracle) round() {
	o.change()
	o.check()
}

// change changes something, while some clients are away and others read nothing.
func (o *wireOracle) change() {
	var away []*wireClient
	for _, c := range o.clients {
		if c.lazy {
			c.reader.Lock()
			defer c.reader.Unlock()
		}
		if c.moving && o.world.IntN(3) == 0 {
			c.leave()
			away = append(away, c)
		}
	}
	back := func() {
		for _, c := range away {
			c.mu.Lock()
			c.counts.returns++
			c.mu.Unlock()
			c.open(o)
		}
		away = nil
	}
	early := o.world.IntN(2) == 0
	o.clients[o.world.IntN(5)].bump()
	o.world.Turn(func() {
		o.clients[o.world.IntN(5)].bump()
		if early {
			back() // while a transaction is open
		}
	})
	if o.world.IntN(4) == 0 {
		o.clients[o.world.IntN(5)].swap(o, o.drawn())
	}
	back()
}

// check waits until every client holds what PostgreSQL answers now.
func (o *wireOracle) check() {
	o.t.Helper()
	if _, err := o.tick.Exec(o.t.Context(), "update tick set n = n + 1"); err != nil {
		o.t.Fatal(err)
	}
	o.tally.checks++
	answers := host.Answers(o.t, o.plain, o.questions)
	waiting := map[*wireSub]string{}
	deadline := time.NewTimer(45 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	began, refused := time.Now(), map[int]bool{}
	for {
		clear(waiting)
		for _, c := range o.clients {
			if wrong := o.look(c, answers, waiting); wrong != "" {
				o.t.Errorf("seed %d: %s\n%s", o.seed, wrong, o.world.History())
				return
			}
		}
		o.excuse(waiting, refused, time.Since(began))
		if len(waiting) == 0 {
			break
		}
		select {
		case <-tick.C:
			for _, c := range o.clients {
				c.again(o)
			}
		case <-deadline.C:
			o.t.Errorf("seed %d: %d results are not right\n%s", o.seed, len(waiting), o.missed(waiting))
			return
		}
	}
	o.world.Forget()
	for _, c := range o.clients {
		for _, s := range c.subs {
			if o.tally.compared++; s.told {
				o.tally.told++
			}
		}
	}
}

// excuse takes out of waiting what says that it is stale and cannot be kept live
// since definitions changed (W9, W10). refused is what it knows of that.
func (o *wireOracle) excuse(waiting map[*wireSub]string, refused map[int]bool, after time.Duration) {
	if after < 2*time.Second {
		return // it may be right soon
	}
	for s := range waiting {
		q := o.questions[s.question]
		if !s.stale || q.Refused == nil {
			continue
		}
		known, asked := refused[s.question]
		if !asked {
			known = errors.Is(q.Refused(), db.ErrRefused)
			refused[s.question] = known
		}
		if known {
			delete(waiting, s)
		}
	}
}

// look compares all that a client holds. It fills waiting with what may still
// come.
func (o *wireOracle) look(c *wireClient, answers []host.Answer, waiting map[*wireSub]string) (wrong string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		s.stale = s.status == "stale"
		if why := s.compare(&answers[s.question]); why != "" {
			waiting[s] = c.name + ": " + why
			continue
		}
		s.told = s.status == "error" || s.status == "stale"
	}
	if why := c.unsynced(); why != "" {
		waiting[c.subs[0]] = why
	}
	return c.wrong
}

// compare says what is not right with what a client holds, or "".
func (s *wireSub) compare(right *host.Answer) string {
	switch {
	case (s.status == "error" || s.status == "stale") && right.Failed() != "", s.status == "error" && s.code == "not_live":
		return "" // W9, W10: it says so, and so does PostgreSQL, or it can be kept live no more
	case s.status == "error" && s.code == "result_too_large" && right.Rows() > 9000:
		return ""
	case s.status != "live" && s.status != "unchanged":
		return fmt.Sprintf("is %q (%s), not live", s.status, s.code)
	case right.Failed() != "":
		return "is live, and PostgreSQL says " + right.Failed()
	case s.v != s.held:
		return fmt.Sprintf("has %s announced and holds %s", s.v, s.held)
	}
	if form := s.held + right.Form(); s.seen != form {
		read, err := right.Read(s.rows)
		if err != nil {
			return err.Error()
		}
		s.seen, s.read = form, read
	}
	return right.Differs(s.read)
}

// missed tells what results are not right, the first ones at length.
func (o *wireOracle) missed(waiting map[*wireSub]string) string {
	var b strings.Builder
	seen := map[int]bool{}
	for s, why := range waiting {
		if seen[s.question] {
			continue
		}
		if seen[s.question] = true; len(seen) > 3 {
			break
		}
		q := o.questions[s.question]
		fmt.Fprintf(&b, "%s\nq%d: %s\nkey %v args %s\n%s\nreads %s\n", why, s.question, q.SQL, q.Key, o.args(s.question), q.Plain, q.Reads())
	}
	return b.String() + o.world.History()
}

// close ends all clients and adds up.
func (o *wireOracle) close() {
	for _, c := range o.clients {
		c.leave()
		o.tally.saw.add(c.counts)
	}
	o.tally.refused = o.world.Refused
	o.tally.wrote = append(o.tally.wrote, o.world.Wrote())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tally.runs += o.runs
	o.tally.useless += o.useless
}

// TestOracleOverTheWire: W1, W2, D1, R4. Random schemas, queries and writes, a
// whole host, clients of sessions and of single queries: with deltas and without,
// slow ones, and ones that come and go. After each round every client holds what
// PostgreSQL answers; each version is that of the bytes held; what only grows never
// shrinks. WEIR_ORACLE is how long it looks, WEIR_ORACLE_SEED where it begins,
// WEIR_TEST_WRITER the writer of streams.
func TestOracleOverTheWire(t *testing.T) {
	t.Parallel()
	var tally wireTally
	end := time.Now().Add(host.OracleSlice(t, 4*time.Second))
	more := func() bool { return (time.Now().Before(end) || tally.checks < 6) && !t.Failed() }
	for seed := host.OracleSeed(t); more(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := newWireOracle(t, seed, &tally)
			defer o.close()
			o.check()
			for i := 0; i < 60 && more() && !t.Failed(); i++ {
				o.round()
			}
			o.world.EndLong()
			if !t.Failed() {
				o.check()
			}
		})
	}
	t.Logf("%d worlds, %d checks, %d results compared, %d of them errors on both sides or refused since; %+v; %d runs, %d of them (%d %%) useless\n%s\n%v", tally.worlds, tally.checks, tally.compared, tally.told,
		tally.saw, tally.runs, tally.useless, 100*tally.useless/max(1, tally.runs), strings.Join(tally.wrote, "\n"), &tally.refused)
	tally.refused.Check(t)
}
