package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// backend is a Backend on a real reactor. Each function's result is set by the
// test; setting it is a committed change.
type backend struct {
	t       testing.TB
	reactor *reactor.Reactor
	cancel  context.CancelFunc
	done    sync.WaitGroup
	poke    chan struct{}

	reading sync.Mutex // held from a commit to its batch: no read of the log comes between

	mu       sync.Mutex // protects the fields below
	values   map[string]value
	xid      uint64
	denied   map[string]bool                    // function or function/sub
	policies map[string]*reactor.Decision       // function: the answer of its live policy, nil if it fails
	answers  map[*auth.Caller]*reactor.Decision // of live policies to callers who have one of their own
	refused  map[string]error                   // function: error of Subscribe
	gate     chan struct{}                      // Subscribe waits for it, if set
	plugin   string                             // digest in the keys
	late     func(*reactor.Execution)           // is called when a run has read, if set
	called   func(calls int)                    // is called by Subscribe, if set
	runs     int
	unscoped map[string]bool // functions that declare no scope
	ran      map[string]int  // runs of each function
	calls    int             // of Subscribe
	mutation func(who *auth.Caller, name string, args Arguments) (Answer, error)
	asked    []Query
	silent   bool // what was asked is not noted: memory is measured
}

type value struct {
	content string
	err     error
}

const epoch = reactor.Epoch("epoch")

var functions = []abi.Function{
	{Name: "messages.list", Kind: abi.Query, Fields: []abi.Field{
		{Name: "room", Schema: abi.Schema{Type: "integer", Optional: true}},
		{Name: "text", Schema: abi.Schema{Type: "string", Optional: true}},
	}},
	{Name: "rooms.list", Kind: abi.Query},
	{Name: "big", Kind: abi.Query, Fields: []abi.Field{{Name: "n", Schema: abi.Schema{Type: "integer", Optional: true}}}},
}

func newBackend(t testing.TB) *backend {
	b := &backend{
		t: t, values: map[string]value{}, xid: 100, poke: make(chan struct{}, 1), plugin: "p1",
		denied: map[string]bool{}, refused: map[string]error{}, policies: map[string]*reactor.Decision{},
		answers: map[*auth.Caller]*reactor.Decision{}, ran: map[string]int{}, unscoped: map[string]bool{},
	}
	for _, f := range functions {
		b.values[f.Name] = value{content: rows(0)}
	}
	return b
}

// start runs a reactor that tells s what it publishes.
func (b *backend) start(s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.reactor = reactor.New(reactor.Config{Executor: b, Published: s.Published, MaxDebounce: time.Nanosecond, Poke: func() {
		select {
		case b.poke <- struct{}{}:
		default:
		}
	}})
	b.done.Go(func() { _ = b.reactor.Run(ctx) })
	b.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			b.reading.Lock()
			b.apply(ctx)
			b.reading.Unlock()
			select {
			case <-b.poke:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (b *backend) close() {
	b.cancel()
	b.done.Wait()
}

func (b *backend) snapshot() reactor.Snapshot {
	return reactor.Snapshot{XMin: b.xid + 1, XMax: b.xid + 1}
}

// apply is one read of the change log.
func (b *backend) apply(ctx context.Context, changes ...reactor.Change) {
	b.mu.Lock()
	batch := reactor.Batch{Epoch: epoch, Snapshot: b.snapshot(), Changes: changes, Began: time.Now()}
	b.mu.Unlock()
	if err := b.reactor.Apply(ctx, batch); err != nil && ctx.Err() == nil {
		b.t.Errorf("apply: %v", err)
	}
}

// set commits another result of a function.
func (b *backend) set(name, content string) { b.commit(name, value{content: content}) }

// fail makes the function fail from now on.
func (b *backend) fail(name string, err error) { b.commit(name, value{err: err}) }

func (b *backend) commit(name string, v value) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	b.values[name] = v
	b.xid++
	change := reactor.Change{XID: b.xid, Table: tableOf(name), Op: reactor.Update}
	b.mu.Unlock()
	b.apply(context.Background(), change)
}

// deny makes the function's policy say no, or yes again.
func (b *backend) deny(name string, no bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.denied[name] = no
}

// policyTable is what every live policy reads.
const policyTable = 50

// decide commits another answer of a function's live policy; nil: it fails. A
// function has one from the first call on.
func (b *backend) decide(name string, d *reactor.Decision) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	b.policies[name] = d
	b.xid++
	change := reactor.Change{XID: b.xid, Table: policyTable, Op: reactor.Update}
	b.mu.Unlock()
	b.apply(context.Background(), change)
}

// answer gives the callers of a token an answer of their own from the next change
// of the policies' table on.
func (f *fixture) answer(token string, d *reactor.Decision) {
	f.backend.mu.Lock()
	defer f.backend.mu.Unlock()
	f.backend.answers[f.verify[token]] = d
}

// count returns how often a function has run.
func (b *backend) count(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ran[name]
}

var (
	allow = &reactor.Decision{Answer: reactor.Allow}
	deny  = &reactor.Decision{Answer: reactor.Deny, Reason: "not_a_member"}
)

func tableOf(name string) uint32 {
	for i, f := range functions {
		if f.Name == name {
			return uint32(i + 1)
		}
	}
	return 0
}

func rows(n int) string { return fmt.Sprintf(`"key":["id"],"rows":[{"id":%d}]`, n) }

// Execute implements reactor.Executor.
func (b *backend) Execute(_ context.Context, wave []*reactor.Execution) []reactor.Result {
	list, late := b.read(wave)
	for _, e := range wave {
		if late != nil {
			late(e)
		}
	}
	return list
}

func (b *backend) read(wave []*reactor.Execution) (_ []reactor.Result, late func(*reactor.Execution)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]reactor.Result, len(wave))
	for i, e := range wave {
		if p, is := e.Call.(policyCall); is {
			list[i] = reactor.Result{
				Epoch: epoch, Snapshot: b.snapshot(), Decision: b.policies[p.function],
				Reads: reactor.ReadSet{Atoms: []reactor.Atom{{Table: policyTable}}},
			}
			if own, has := b.answers[p.who]; has {
				list[i].Decision = own
			}
			if list[i].Decision == nil {
				list[i].Err = errors.New("the policy fails")
			}
			continue
		}
		b.runs++
		b.ran[e.Name]++
		v := b.values[e.Name]
		if v.err != nil {
			list[i].Err = v.err
			continue
		}
		if org, is := e.Call.(string); is { // rows of a scope
			v.content = strings.ReplaceAll(v.content, `{"id":`, `{"org":"`+org+`","id":`)
		}
		list[i] = reactor.Result{
			Epoch: epoch, Snapshot: b.snapshot(), Frame: reactor.NextFrame(e.Last, e.Query, []byte(v.content), 1<<30),
			Reads: reactor.ReadSet{Atoms: []reactor.Atom{{Table: tableOf(e.Name)}}},
		}
	}
	return list, b.late
}

func (b *backend) request(who *auth.Caller, q Query) (reactor.Request, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.called != nil {
		b.called(b.calls)
	}
	if !b.silent {
		b.asked = append(b.asked, q)
	}
	var fn *abi.Function
	var names []string
	for i, f := range functions {
		names = append(names, f.Name)
		if f.Name == q.Name {
			fn = &functions[i]
		}
	}
	if _, loaded := b.values[q.Name]; fn == nil || !loaded {
		text := fmt.Sprintf("unknown query %q", q.Name)
		if near := abi.Nearest(q.Name, names); near != "" {
			text += fmt.Sprintf(": did you mean %q?", near)
		}
		return reactor.Request{}, &Refusal{Kind: abi.UnknownFunction, Message: text}
	}
	var args abi.Value
	var err error
	if q.Args.JSON != nil {
		if args, err = abi.ParseJSON(q.Args.JSON, 0); err == nil {
			args, err = fn.Arguments().Check(args)
		}
	} else if args, err = abi.ParseQuery(fn, q.Args.Params); err == nil {
		args, err = fn.Arguments().Check(args)
	}
	if err != nil {
		return reactor.Request{}, err
	}
	if err := b.refused[q.Name]; err != nil {
		return reactor.Request{}, err
	}
	if b.denied[q.Name] || b.denied[q.Name+"/"+who.Principal.Subject] {
		return reactor.Request{}, &Refusal{Kind: abi.Denied, Message: "not a member of the room", Reason: "not_a_member"}
	}
	key := reactor.KeyParts{Tenant: q.Tenant, Plugin: b.plugin, Function: q.Name, Input: args.AppendJSON(nil)}
	req := reactor.Request{Tenant: q.Tenant, Key: key.Key(), Name: q.Name, At: q.At}
	if _, live := b.policies[q.Name]; live {
		call := policyCall{function: q.Name}
		if _, own := b.answers[who]; own {
			call.who = who
		}
		req.Policies = []reactor.Target{{
			Key: reactor.Key(fmt.Sprintf("policy of %s %p", q.Name, call.who)), Name: "member", Call: call, Waves: true,
		}}
		if b.unscoped[q.Name] {
			return req, nil
		}
		req.Resolve = func(scope reactor.Scope) (reactor.Target, error) {
			if scope["org"] == "bad" {
				return reactor.Target{}, Undecided(errors.New("org is no integer"))
			}
			key, t := key, reactor.Target{Name: q.Name}
			if org := scope["org"]; org != "" {
				key.Role, t.Call = org, org
			}
			t.Key = key.Key()
			return t, nil
		}
	}
	return req, nil
}

// policyCall is the call of a function's policy.
type policyCall struct {
	function string
	who      *auth.Caller // who has an answer of their own, else nil
}

func (b *backend) Subscribe(ctx context.Context, who *auth.Caller, q Query, on Signals) (*Live, error) {
	b.mu.Lock()
	gate := b.gate
	b.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	req, err := b.request(who, q)
	if err != nil {
		return nil, err
	}
	req.Ready = func(*reactor.Subscription) { on.Ready() }
	req.Decided = func(*reactor.Subscription) { on.Decided() }
	live := &Live{b.reactor.Subscribe(req)}
	if len(req.Policies) == 0 {
		on.Decided()
	}
	return live, nil
}

func (b *backend) Get(ctx context.Context, who *auth.Caller, q Query) (reactor.State, error) {
	req, err := b.request(who, q)
	if err != nil {
		return reactor.State{}, err
	}
	st, err := b.reactor.Get(ctx, req)
	if err == nil && st.Status == reactor.Denied {
		err = Denial(st.Policy, st.Reason)
	}
	return st, err
}

func (b *backend) Await(tenant string, s *reactor.Sync) { b.reactor.Await(tenant, s) }

func (b *backend) Mutate(_ context.Context, who *auth.Caller, name string, args Arguments, _ string) (Answer, error) {
	b.mu.Lock()
	f := b.mutation
	b.mu.Unlock()
	if f == nil {
		return Answer{}, &Refusal{Kind: abi.UnknownFunction, Message: "unknown mutation"}
	}
	return f(who, name, args)
}

// patience bounds every wait of a test.
const patience = 10 * time.Second

// fixture is a server on a loopback listener.
type fixture struct {
	t       testing.TB
	backend *backend
	server  *Server
	url     string
	client  *http.Client
	log     *lockedBuffer
	verify  map[string]*auth.Caller // by token
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// transports are the ways a stream can be carried; every stream rule holds on
// each.
var transports = []string{"http1 goroutine", "http1 shard", "http1 tls", "http2"}

// suiteWriter writes the streams of tests that are not run on each transport:
// WEIR_TEST_WRITER=goroutine runs them all on the other one. It is read by each
// test, so that go test does not take one run's result for the other's.
func suiteWriter() Writer { return Writer(os.Getenv("WEIR_TEST_WRITER")) }

// newParts makes a server and its backend without a listener. change may adjust
// the configuration.
func newParts(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, backend: newBackend(t), log: &lockedBuffer{}, verify: map[string]*auth.Caller{}}
	cfg := Config{
		Backend: f.backend, Verify: f.verifyToken, Version: "0.1.0",
		Schema: func(string) Schema { return Schema{JSON: []byte(`{"functions":[]}`), Digest: "d1"} },
		Logger: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Writer: suiteWriter(),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	f.backend.start(s)
	return f
}

func newFixture(t testing.TB, change func(*Config)) *fixture { return newFixtureOn(t, "http1", change) }

// onWriter chooses the writer that a transport names.
func onWriter(transport string, change func(*Config)) func(*Config) {
	return func(c *Config) {
		if _, writer, named := strings.Cut(transport, "http1 "); named && writer != "tls" {
			c.Writer = Writer(writer)
		}
		if change != nil {
			change(c)
		}
	}
}

func newFixtureOn(t testing.TB, transport string, change func(*Config)) *fixture {
	t.Helper()
	f := newParts(t, onWriter(transport, change))
	hs := httptest.NewUnstartedServer(f.server.Handler())
	hs.Config.ErrorLog = slog.NewLogLogger(slog.NewJSONHandler(f.log, nil), slog.LevelInfo)
	switch transport {
	case "http1", "http1 goroutine", "http1 shard":
		hs.Start()
	case "http1 tls":
		hs.StartTLS()
	case "http2":
		hs.EnableHTTP2 = true
		hs.StartTLS()
	}
	f.url, f.client = hs.URL, hs.Client()
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
		f.client.CloseIdleConnections()
		hs.Close()
		f.backend.close()
	})
	return f
}

func (f *fixture) verifyToken(_ context.Context, t *tenant.Tenant, token string) (*auth.Caller, error) {
	c := f.verify[token]
	switch {
	case c == nil:
		return nil, auth.ErrUnauthenticated
	case c.Principal.Tenant != t.Name:
		return nil, tenant.ErrOtherTenant
	}
	return c, nil
}

// user makes a token of a user.
func (f *fixture) user(token, sub string, expires time.Time) {
	f.verify[token] = &auth.Caller{
		Principal: auth.Principal{Tenant: tenant.DefaultName, Issuer: "test", Subject: sub}, Expires: expires,
	}
}

// response is an answer that is not a stream.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are "Name: value".
func (f *fixture) do(method, path, body string, headers ...string) response {
	f.t.Helper()
	res := f.open(method, path, body, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	return response{res.StatusCode, res.Header, string(text)}
}

func (f *fixture) open(method, path, body string, headers ...string) *http.Response {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.t.Cleanup(cancel)
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, r)
	if err != nil {
		f.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Add(name, value)
		}
	}
	res, err := f.client.Do(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// stream is a client of a stream.
type stream struct {
	t      testing.TB
	res    *http.Response
	parser *sseParser
	sid    string
	retry  string
	hello  sseEvent
}

const eventStream = "Accept: text/event-stream"

// stream opens a stream and reads up to hello.
func (f *fixture) stream(method, path, body string, headers ...string) *stream {
	f.t.Helper()
	s := f.rawStream(method, path, body, headers...)
	s.retry = s.next().retry
	s.hello = s.next()
	if s.hello.name != "hello" {
		f.t.Fatalf("stream begins with %s", s.hello)
	}
	s.sid = s.hello.field("sid")
	return s
}

func (f *fixture) rawStream(method, path, body string, headers ...string) *stream {
	f.t.Helper()
	res := f.open(method, path, body, append([]string{eventStream}, headers...)...)
	f.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		f.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	return &stream{t: f.t, res: res, parser: newSSEParser(res.Body)}
}

// session opens a session stream with subscriptions.
func (f *fixture) session(subs string, headers ...string) *stream {
	f.t.Helper()
	return f.stream(http.MethodPost, "/v1/stream", `{"subs":[`+subs+`]}`, headers...)
}

func (s *stream) next() sseEvent {
	s.t.Helper()
	e, err := s.parser.next()
	if err != nil {
		s.t.Fatalf("read stream: %v", err)
	}
	return e
}

// expect reads events and compares their names; a result is "message".
func (s *stream) expect(names ...string) []sseEvent {
	s.t.Helper()
	var list []sseEvent
	for i, want := range names {
		e := s.next()
		if e.name != want {
			s.t.Fatalf("event %d is %s, want %s", i+1, e, want)
		}
		list = append(list, e)
	}
	return list
}

// until reads until ok holds.
func (s *stream) until(what string, ok func(sseEvent) bool) sseEvent {
	s.t.Helper()
	for range 10_000 {
		if e := s.next(); ok(e) {
			return e
		}
	}
	s.t.Fatalf("no %s in 10 000 events", what)
	return sseEvent{}
}

func (s *stream) close() { s.res.Body.Close() }

// ended reads to the end, which must be clean.
func (s *stream) ended() {
	s.t.Helper()
	if e, err := s.parser.next(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("after the end: %v, %v", e, err)
	}
}

// pipeListener serves net.Pipe connections, so that a test can run on a bubble's
// clock and a client that does not read stops the writer at once.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// newPipeFixture is a fixture inside a bubble; its end must be called there.
func newPipeFixture(t testing.TB, change func(*Config)) (f *fixture, l *pipeListener, end func()) {
	t.Helper()
	f = newParts(t, change)
	l = newPipeListener()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.server.Run(ctx, l) }()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return l.dial() }}
	f.url, f.client = "http://localhost", &http.Client{Transport: tr}
	return f, l, func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		tr.CloseIdleConnections()
		f.backend.close()
	}
}

type limits = tenant.Limits

// limited is the one tenant with other limits.
func limited(change func(*limits)) TenantOf {
	t := &tenant.Tenant{Name: tenant.DefaultName}
	change(&t.Limits)
	return OneTenant(t)
}
