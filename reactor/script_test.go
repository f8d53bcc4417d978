package reactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// script drives one core by hand, without a loop and with its own clock, so
// that a test file reads as the specification: a command, ----, and all that
// followed from it. The commands:
//
//	subscribe SUB FUNCTION [at=SNAPSHOT] [alone] [by=POLICY,…] [scoped]
//	                              alone: a function that looks at rows; POLICY ends
//	                              with ! for one that does; scoped: the function's
//	                              key holds what the policies put into the scope,
//	                              and bad is no scope of it
//	leave SUB
//	dispatch [max=N]              one wave, if something is ready
//	apply SNAPSHOT [ago=DURATION] [CHANGE…]   (after 10 ms); ago: the read began then
//	                                  11:update:todos/id=1&list=2+id=1&list=3:list  (xid:op:table/rows:changed)
//	resync SNAPSHOT [epoch=E]
//	lose SNAPSHOT                 a resync whose batch is taken, not yet applied
//	step                          applies it
//	follow XID SUB…               a Sync; "synced XID" when it is done
//	see SUB                       what a writer would show now
//	finish G snapshot=… value=… [reads=todos[id=1],…] [cost=1ms] [wake=2s] [epoch=E] [plan] [alone]
//	finish G snapshot=… allow|deny [scope=V] [reason=R] …   of a policy
//	fail G TEXT
//	give-up G                     a wave that took too long, with G in it
//	wait DURATION
//	uncaptured TABLE
//	state SUB
//	at SUB                        the point of what it shows
//	why SUB                       what who asks is told: the newest changes first
//	config [resync=DURATION] [groups=N]
type script struct {
	t      *testing.T
	core   *core
	cfg    Config
	now    time.Time
	subs   map[string]*Subscription
	names  map[string]string // wire name of a group → g1, g2…
	flying map[string]*Execution
	tables map[string]uint32
	cols   map[string]uint16
	synced []string
}

func newScript(t *testing.T) *script {
	s := &script{
		t: t, now: time.Unix(1e9, 0), subs: map[string]*Subscription{}, names: map[string]string{},
		flying: map[string]*Execution{}, tables: map[string]uint32{}, cols: map[string]uint16{},
	}
	s.cfg = Config{Seed: 1, Resync: -1, Observe: func(Run) {}}.withDefaults()
	s.core = newCore("default", &s.cfg, s.now)
	return s
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		s := newScript(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(d)
		})
	})
}

// run executes one command; its arguments are read by hand because of their
// brackets.
func (s *script) run(d *datadriven.TestData) string {
	var args []string
	for _, a := range d.CmdArgs {
		args = append(args, a.String())
	}
	if d.Input != "" {
		args = append(args, strings.Fields(d.Input)...)
	}
	switch d.Cmd {
	case "subscribe":
		s.subscribe(args)
	case "leave":
		s.core.leave(s.now, s.subs[args[0]])
	case "dispatch":
		return s.dispatch(args)
	case "apply":
		s.apply(args, false)
	case "resync":
		s.apply(args, true)
	case "lose":
		s.core.feed(s.now, sortBatch(&Batch{Epoch: "e1", Snapshot: s.snapshot(args[0]), Began: s.now, Resync: true}))
	case "step":
		for s.core.step(s.now, 1) {
		}
	case "follow":
		s.follow(args)
	case "see":
		return s.behind(s.subs[args[0]].fence)
	case "finish":
		s.finish(args)
	case "give-up":
		s.core.finish(s.now, s.take(args[0]), Result{Err: context.DeadlineExceeded, Alone: true})
	case "fail":
		e := s.take(args[0])
		s.core.finish(s.now, e, Result{Err: errors.New(strings.Join(args[1:], " "))})
	case "wait":
		s.wait(args[0])
	case "uncaptured":
		s.core.setUncaptured(s.now, map[uint32]string{s.table(args[0]): "its triggers are gone"})
	case "state":
		return s.state(args[0])
	case "why":
		return s.why(args[0])
	case "at":
		return s.subs[args[0]].Publication().State().At.snapshot.String()
	case "config":
		s.configure(args)
	default:
		s.t.Fatalf("unknown command %s", d.Cmd)
	}
	return s.outcome()
}

func (s *script) configure(args []string) {
	for _, a := range args {
		key, text, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "resync":
			s.cfg.Resync, err = time.ParseDuration(text)
		case "first_debounce":
			s.cfg.FirstDebounce, err = time.ParseDuration(text)
		case "groups":
			s.cfg.MaxGroups, err = strconv.Atoi(text)
		default:
			s.t.Fatalf("config: unknown argument %s", a)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *script) subscribe(args []string) {
	req := Request{Key: Key(args[1]), Name: args[1], Waves: true}
	for _, a := range args[2:] {
		if text, ok := strings.CutPrefix(a, "at="); ok {
			req.At = NewStamp("e1", s.snapshot(text))
		}
		if a == "alone" {
			req.Waves = false
		}
		if list, ok := strings.CutPrefix(a, "by="); ok {
			for name := range strings.SplitSeq(list, ",") {
				name, looks := strings.CutSuffix(name, "!")
				req.Policies = append(req.Policies, Target{Key: Key("policy " + name), Name: name, Waves: !looks})
			}
		}
		if a == "scoped" {
			req.Resolve = func(scope Scope) (Target, error) {
				if scope["v"] == "bad" {
					return Target{}, errors.New("no such scope")
				}
				name := args[1] + "/" + scope["v"]
				return Target{Key: Key(name), Name: name, Waves: true}, nil
			}
		}
	}
	sub := newSubscription(req, s.now)
	s.subs[args[0]] = sub
	s.core.subscribe(s.now, sub)
}

// name returns how a group is called: g1, g2 …, and a policy by its own name.
func (s *script) name(query string) string {
	if s.names[query] == "" {
		n := 1
		for _, g := range s.core.all {
			if g.pub.Query == query && g.decides {
				s.names[query] = g.name
				return g.name
			}
		}
		for _, name := range s.names {
			if strings.HasPrefix(name, "g") {
				n++
			}
		}
		s.names[query] = fmt.Sprintf("g%d", n)
	}
	return s.names[query]
}

func (s *script) dispatch(args []string) string {
	n := 64
	for _, a := range args {
		if text, ok := strings.CutPrefix(a, "max="); ok {
			n, _ = strconv.Atoi(text)
		}
	}
	s.core.tick(s.now, math.MaxInt)
	var out []string
	for _, e := range s.core.wave(s.now, n) {
		name := s.name(e.Query)
		s.flying[name] = e
		line := fmt.Sprintf("run %s: %s", name, e.Cause.Reason)
		if e.Cause.Change != nil {
			line += fmt.Sprintf(" by %d", e.Cause.Change.XID)
		}
		if e.Cause.More > 0 {
			line += fmt.Sprintf(" and %d more", e.Cause.More)
		}
		if e.Plan != nil {
			line += ", from its plan"
		}
		out = append(out, line)
	}
	if len(out) == 0 {
		return "nothing to run" + s.outcome()
	}
	return strings.Join(out, "\n") + "\n" + s.outcome()
}

func (s *script) apply(args []string, resync bool) {
	s.wait("10ms") // time between commits: an idle group runs at once
	b := &Batch{Epoch: "e1", Snapshot: s.snapshot(args[0]), Began: s.now, Resync: resync}
	for _, a := range args[1:] {
		if text, ok := strings.CutPrefix(a, "epoch="); ok {
			b.Epoch = Epoch(text)
			continue
		}
		if text, ok := strings.CutPrefix(a, "ago="); ok {
			d, _ := time.ParseDuration(text)
			b.Began = s.now.Add(-d)
			continue
		}
		b.Changes = append(b.Changes, s.change(a))
	}
	s.core.feed(s.now, sortBatch(b))
	for s.core.step(s.now, 1) {
	}
}

func (s *script) follow(args []string) {
	xid, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	sync := &Sync{Tx: TxStamp("e1", xid), arrived: s.now, Done: func() { s.synced = append(s.synced, "synced "+args[0]) }}
	for _, name := range args[1:] {
		sync.Subscriptions = append(sync.Subscriptions, s.subs[name])
	}
	s.core.follow(sync)
}

func (s *script) finish(args []string) {
	e := s.take(args[0])
	r := Result{Epoch: "e1", Cost: time.Millisecond}
	for _, a := range args[1:] {
		key, text, _ := strings.Cut(a, "=")
		switch key {
		case "snapshot":
			r.Snapshot = s.snapshot(text)
		case "value":
			r.Frame = NewFrame(e.Query, []byte(`"value":"`+text+`"`))
		case "reads":
			r.Reads = s.reads(text)
		case "cost":
			r.Cost, _ = time.ParseDuration(text)
		case "wake":
			d, _ := time.ParseDuration(text)
			r.WakeAt = s.now.Add(d)
		case "epoch":
			r.Epoch = Epoch(text)
		case "plan":
			r.Plan = "plan"
		case "alone":
			r.Alone = true
		case "allow":
			r.Decision = &Decision{Answer: Allow}
		case "deny":
			r.Decision = &Decision{Answer: Deny}
		case "scope":
			r.Decision.Scope = Scope{"v": text}
		case "reason":
			r.Decision.Reason = text
		default:
			s.t.Fatalf("finish: unknown argument %s", a)
		}
	}
	s.core.finish(s.now, e, r)
}

func (s *script) take(name string) *Execution {
	e := s.flying[name]
	if e == nil {
		s.t.Fatalf("%s is not running", name)
	}
	delete(s.flying, name)
	return e
}

// wait lets time pass in steps, as a loop would see it.
func (s *script) wait(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	for end := s.now.Add(d); s.now.Before(end); {
		next := s.core.next()
		if next.After(end) || !next.After(s.now) {
			next = end
		}
		s.now = next
		s.core.tick(s.now, math.MaxInt)
	}
}

// outcome says what the core wants done, and forgets it.
func (s *script) outcome() string {
	var out []string
	for _, sub := range s.core.out.ready {
		name := s.subName(sub)
		if sub.err != nil {
			out = append(out, fmt.Sprintf("%s refused: %v", name, sub.err))
			continue
		}
		out = append(out, fmt.Sprintf("%s <- %s", name, s.behind(sub.fence)))
	}
	told := map[*Publication]bool{}
	for _, p := range s.core.out.published {
		if told[p] {
			continue
		}
		told[p] = true
		out = append(out, fmt.Sprintf("%s shows %s", s.name(p.Query), s.show(p)))
		for _, name := range slices.Sorted(maps.Keys(s.subs)) {
			if sub := s.subs[name]; sub.fence != nil && !sub.left && len(sub.guards()) > 0 && slices.Contains(sub.fence.Watches(), p) {
				out = append(out, fmt.Sprintf("  %s sees %s", name, s.behind(sub.fence)))
			}
		}
	}
	for _, run := range s.core.out.runs {
		if run.Same {
			out = append(out, s.name(run.Query)+" ran: same result")
		}
	}
	for _, sync := range s.core.out.synced {
		sync.Done()
	}
	out, s.synced = append(out, s.synced...), nil
	if s.core.out.poke {
		out = append(out, "poke")
	}
	s.core.out = outputs{}
	return strings.Join(out, "\n")
}

// behind is what is seen behind a fence.
func (s *script) behind(f *fence) string {
	state, shown := f.State()
	if !shown {
		return "nothing new"
	}
	return s.describe(&state)
}

func (s *script) show(p *Publication) string {
	if d := p.standing.Load(); d != nil {
		text := d.Answer.String()
		if d.err != nil {
			text += fmt.Sprintf(" (%v)", d.err)
		}
		return text
	}
	state := p.State()
	if state == nil {
		return "nothing yet"
	}
	return s.describe(state)
}

func (s *script) describe(state *State) string {
	text := state.Status.String()
	if state.Status == Moved {
		text = "moved"
	}
	if state.Reason != "" {
		text += " " + state.Reason
	}
	if state.Frame != nil {
		_, value, _ := strings.Cut(string(state.Frame.Content()), ":")
		text += " " + strings.Trim(value, `"`)
	}
	if state.Err != nil {
		text += fmt.Sprintf(" (%v)", state.Err)
	}
	return text
}

func (s *script) subName(sub *Subscription) string {
	for name, other := range s.subs {
		if other == sub {
			return name
		}
	}
	return "?"
}

// state describes a subscription's group.
func (s *script) state(name string) string {
	sub := s.subs[name]
	g := sub.group()
	if g == nil {
		return "left"
	}
	var words []string
	for word, is := range map[string]bool{"running": g.running, "dirty": g.dirty} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	if len(words) == 0 {
		words = []string{"idle"}
	}
	return fmt.Sprintf("%s %s, %d subscribers, shows %s", s.name(g.pub.Query), strings.Join(words, " and "), g.subs, s.show(&g.pub))
}

// snapshot reads 10 (all below 10) or the full form.
func (s *script) snapshot(text string) Snapshot {
	if !strings.Contains(text, ":") {
		text = text + ":" + text + ":"
	}
	snap, err := ParseSnapshot(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return snap
}

// change reads xid:op:table[/row[+row…]][:changed,…]. Without rows it is the
// whole table.
func (s *script) change(text string) Change {
	parts := strings.Split(text, ":")
	xid, err := strconv.ParseUint(parts[0], 10, 64)
	if err != nil || len(parts) < 3 {
		s.t.Fatalf("change %q", text)
	}
	c := Change{XID: xid, Changed: nil}
	for op := Insert; op <= DDL; op++ {
		if op.String() == parts[1] {
			c.Op = op
		}
	}
	table, rows, keyed := strings.Cut(parts[2], "/")
	c.Table = s.table(table)
	if keyed {
		for row := range strings.SplitSeq(rows, "+") {
			tuple := Tuple{}
			for pair := range strings.SplitSeq(row, "&") {
				col, value, _ := strings.Cut(pair, "=")
				d := Datum{Column: s.column(col), Null: value == "null"}
				if !d.Null {
					d.Value = s.value(value)
				}
				tuple = append(tuple, d)
			}
			c.Keys = append(c.Keys, tuple)
		}
	}
	if len(parts) > 3 {
		c.Changed = NewColumns()
		for col := range strings.SplitSeq(parts[3], ",") {
			c.Changed = c.Changed.With(s.column(col))
		}
	}
	return c
}

// reads reads table[id=1&list=2|3&n>5&done=null](col,col);….
func (s *script) reads(text string) ReadSet {
	var set ReadSet
	for part := range strings.SplitSeq(text, ";") {
		part, cols, listed := strings.Cut(strings.TrimSuffix(part, ")"), "(")
		table, conds, _ := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		a := Atom{Table: s.table(table)}
		if listed {
			a.Columns = NewColumns()
			for col := range strings.SplitSeq(cols, ",") {
				a.Columns = a.Columns.With(s.column(col))
			}
		}
		if conds != "" {
			for cond := range strings.SplitSeq(conds, "&") {
				s.condition(&a, cond)
			}
		}
		set.Atoms = append(set.Atoms, a)
	}
	return set
}

func (s *script) condition(a *Atom, cond string) {
	for op, comparison := range map[string]Comparison{"<": Less, ">": Greater} {
		if col, value, ok := strings.Cut(cond, op); ok {
			a.Where = append(a.Where, Condition{Column: s.column(col), Op: comparison, Value: s.value(value)})
			return
		}
	}
	col, value, _ := strings.Cut(cond, "=")
	if value == "null" {
		a.Where = append(a.Where, Condition{Column: s.column(col), Op: IsNull})
		return
	}
	eq := Equality{Column: s.column(col)}
	for v := range strings.SplitSeq(value, "|") {
		eq.Values = append(eq.Values, s.value(v))
	}
	a.Eq = append(a.Eq, eq)
}

func (s *script) value(text string) Value {
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return Value(text)
	}
	return IntValue(i)
}

func (s *script) table(name string) uint32 {
	if s.tables[name] == 0 {
		s.tables[name] = uint32(len(s.tables) + 100)
	}
	return s.tables[name]
}

func (s *script) column(name string) uint16 {
	if s.cols[name] == 0 {
		s.cols[name] = uint16(len(s.cols) + 1)
	}
	return s.cols[name]
}
