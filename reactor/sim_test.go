package reactor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// sim drives two real cores, the nodes, against one simDB, with clients that come,
// go, move between the nodes and read slowly. Every step is one random thing that
// may happen in any order in life. A plan (sim_plan_test.go) says which steps are
// done; each draws from numbers of its own, so that one can be left out without
// changing the others. Equal plans give equal runs.
type sim struct {
	seed  uint64
	pcg   *rand.PCG
	rand  *rand.Rand
	cfg   Config
	now   time.Time
	nodes []*simNode
	db    *simDB

	clients  []*simClient // the sessions of those who are there, and who was
	crowd    int          // so many are there at most
	versions [simPluginCount]int
	removed  [simPluginCount]bool

	// The judge's.
	frames   map[*Frame]simAnswer
	answered []simTimeline[string]
	decided  [][2]simTimeline[simVerdict]
	dimmed   [2]int // until when changes of the tables were not logged

	resting      bool // a line for every read of the log would be too much
	disturbances []func()
	sabotage     func(*simNode) // breaks a core on purpose
	step         int
	count        simCount
	trace        *strings.Builder // nil: not wanted
}

// simCount says how much a run did.
type simCount struct{ steps, commits, runs, results, deltas int64 }

var simBegin = time.Unix(1e9, 0)

// bareSim is a simulation without a database and nodes.
func bareSim(seed uint64, traced bool) *sim {
	pcg := rand.NewPCG(0, 0)
	s := &sim{
		seed: seed, pcg: pcg, rand: rand.New(pcg), now: simBegin, frames: map[*Frame]simAnswer{},
		answered: make([]simTimeline[string], len(simQueries)), decided: make([][2]simTimeline[simVerdict], len(simPolicies)),
	}
	if traced {
		s.trace = &strings.Builder{}
	}
	s.draw(-1)
	return s
}

func newSim(seed uint64, traced bool) *sim {
	s := bareSim(seed, traced)
	r := s.rand
	s.cfg = Config{
		Seed: seed + 1, Resync: -1, Observe: func(Run) {},
		MaxRecent:   []int{4, 40, 0}[r.IntN(3)],
		RecentAge:   []time.Duration{20 * time.Millisecond, 0}[r.IntN(2)],
		MaxDebounce: []time.Duration{1, 0}[r.IntN(2)],
		Linger:      []time.Duration{time.Millisecond, time.Second, 0}[r.IntN(3)],
		MaxGroups:   []int{12, 0, 0}[r.IntN(3)],
	}.withDefaults()
	if r.IntN(4) == 0 {
		s.cfg.Resync = 3 * time.Second
	}
	s.crowd = []int{3, 8, 24}[r.IntN(3)]
	s.db = newSimDB(r)
	// A run has some of all that may happen, so that what is rare together happens.
	for _, d := range s.allDisturbances() {
		if r.IntN(3) == 0 {
			s.disturbances = append(s.disturbances, d)
		}
	}
	for range 1 + r.IntN(2) {
		s.addNode()
	}
	return s
}

func (s *sim) addNode() {
	n := &simNode{sim: s, name: string(rune('A' + len(s.nodes)))}
	s.nodes = append(s.nodes, n)
	n.start()
}

// draw makes the dice those of a step.
func (s *sim) draw(step int) {
	s.step = step
	s.pcg.Seed(s.seed, mix(uint64(step+2)))
}

// say adds a line to the trace. Where it is said often, the caller asks first
// whether there is one.
func (s *sim) say(format string, args ...any) {
	if s.trace == nil {
		return
	}
	fmt.Fprintf(s.trace, "%5d %12s v%-4d ", s.step, s.now.Sub(simBegin).Round(time.Microsecond), s.db.version)
	fmt.Fprintf(s.trace, format+"\n", args...)
}

// pass lets time pass.
func (s *sim) pass(d time.Duration) {
	s.now = s.now.Add(d)
	for _, n := range s.nodes {
		n.tick()
		n.settle()
	}
}

// perform does one step. What is drawn may have nothing to do; then another thing
// is drawn.
func (s *sim) perform(step int) {
	s.draw(step)
	s.now = s.now.Add(time.Microsecond) // no two things happen at one moment
	n := s.nodes[s.rand.IntN(len(s.nodes))]
	for range 4 {
		if s.act(n) {
			break
		}
	}
	n.settle()
}

// act does one random thing, and reports whether there was something to do.
func (s *sim) act(n *simNode) bool {
	switch k := s.rand.IntN(100); {
	case k < 7:
		return s.connect(n)
	case k < 8:
		return s.disconnect()
	case k < 20:
		s.write(n)
	case k < 26:
		return s.endOne()
	case k < 35:
		return n.readLog()
	case k < 43:
		return n.deliver()
	case k < 56:
		return n.apply(1 + s.rand.IntN(4))
	case k < 65:
		return n.dispatch(1+s.rand.IntN(4), 1+s.rand.IntN(8), s.hangs())
	case k < 73:
		return len(n.waves) > 0 && n.read(n.waves[s.rand.IntN(len(n.waves))])
	case k < 80:
		return len(n.waves) > 0 && n.finish(s.rand.IntN(len(n.waves)), false)
	case k < 84:
		s.pass([]time.Duration{time.Microsecond, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond}[s.rand.IntN(4)])
	case k < 91:
		return s.look()
	case k < 98:
		return s.carry()
	case len(s.disturbances) > 0 && s.rand.IntN(4) == 0:
		s.disturbances[s.rand.IntN(len(s.disturbances))]()
	default:
		return false
	}
	return true
}

// present returns some client that has a session, of those that meet a condition;
// nil if there is none.
func (s *sim) present(meets func(*simClient) bool) *simClient {
	return pick(s, s.clients, func(c *simClient) (int, bool) {
		return c.number, c.session != nil && (meets == nil || meets(c))
	})
}

// pick draws one of those that have a number. Whether the others are there does not
// change which of two is drawn: a plan from which steps are left out goes on with the
// same ones.
func pick[T any](s *sim, list []T, number func(T) (n int, there bool)) (drawn T) {
	draw, least := s.rand.Uint64(), uint64(math.MaxUint64)
	for _, one := range list {
		n, there := number(one)
		if x := mix(draw ^ uint64(n)); there && x < least {
			drawn, least = one, x
		}
	}
	return drawn
}

// mix makes of neighbouring numbers such that have nothing in common.
func mix(x uint64) uint64 {
	x *= 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	return x ^ x>>27
}

func (s *sim) disconnect() bool {
	c := s.present(nil)
	if c == nil {
		return false
	}
	if s.rand.IntN(3) == 0 {
		s.say("client %d leaves for good", c.number)
		s.leave(c, true)
	} else {
		s.cut(c)
	}
	return true
}

// look lets a writer look, mostly one that was woken.
func (s *sim) look() bool {
	woken := func(c *simClient) bool { return c.session.woken }
	if s.rand.IntN(8) == 0 {
		woken = nil
	}
	c := s.present(woken)
	if c == nil {
		return false
	}
	s.turn(c)
	if !c.slow {
		s.arriveAll(c)
	}
	return true
}

// carry lets a message arrive.
func (s *sim) carry() bool {
	c := s.present(func(c *simClient) bool { return len(c.session.way) > 0 })
	if c != nil {
		s.arrive(c)
	}
	return c != nil
}

func (s *sim) write(n *simNode) {
	var tx *simTx
	if open := len(s.db.open); open > 0 && (open > 4 || s.rand.IntN(2) == 0) {
		tx = s.openTx()
	} else {
		tx = s.db.begin()
		tx.step = s.step
	}
	s.db.write(tx)
	if s.rand.IntN(3) == 0 {
		s.end(tx, true)
		if s.rand.IntN(4) == 0 {
			s.say("%d is waited for on %s", tx.xid, n.name)
			s.follow(n, tx.xid)
		}
	}
}

func (s *sim) openTx() *simTx {
	return pick(s, s.db.open, func(tx *simTx) (int, bool) { return tx.step, true })
}

func (s *sim) endOne() bool {
	tx := s.openTx()
	if tx != nil {
		s.end(tx, s.rand.IntN(5) > 0)
	}
	return tx != nil
}

func (s *sim) end(tx *simTx, commit bool) {
	s.db.end(tx, commit)
	s.count.commits++
	if s.trace != nil {
		word := "commits"
		if !commit {
			word = "aborts"
		}
		s.say("%d %s: %v", tx.xid, word, tx.writes)
	}
}

// quiesce ends all transactions, lets everything run, and compares every client
// with a fresh answer (W1).
func (s *sim) quiesce(step int) {
	s.draw(step)
	s.say("all comes to rest")
	s.resting = true
	defer func() { s.resting = false }()
	for len(s.db.open) > 0 {
		s.end(s.db.open[0], s.rand.IntN(2) == 0)
	}
	s.capture()
	for _, n := range s.nodes {
		n.deaf = time.Time{}
	}
	for range 200 {
		quiet, next := true, s.now.Add(time.Second)
		for _, n := range s.nodes {
			n.round()
			if len(n.waves) > 0 { // they hang, and keep the others waiting
				s.pass(s.cfg.Deadline)
			}
		}
		for i := len(s.clients) - 1; i >= 0; i-- {
			c := s.clients[i]
			for range 3 {
				if c.session == nil {
					break
				}
				if c.session.woken || len(c.session.way) > 0 {
					quiet = false
					s.turn(c)
					s.arriveAll(c)
				}
			}
			quiet = quiet && (c.session == nil || c.session.attempt == nil)
		}
		for _, n := range s.nodes {
			n.settle()
			quiet = quiet && n.quiet()
			if at := n.core.next(); at.Before(next) {
				next = at
			}
		}
		if quiet {
			break
		}
		if next.After(s.now) {
			s.pass(next.Sub(s.now))
		}
	}
	s.checkRest()
}

// finale lets everybody leave: nothing may remain (W6).
func (s *sim) finale(step int) {
	s.draw(step)
	s.say("everybody leaves")
	for len(s.clients) > 0 {
		s.leave(s.clients[0], true)
	}
	for range 4 {
		for _, n := range s.nodes {
			n.round()
		}
		s.pass(s.cfg.Linger + s.cfg.RecentAge)
	}
	for _, n := range s.nodes {
		s.checkEmpty(n)
	}
}
