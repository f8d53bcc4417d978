package reactor

import (
	"errors"
	"slices"
	"strings"
)

// simClient is somebody who watches one query, and what has reached them. A
// client keeps what it holds while it is away.
type simClient struct {
	number        int  // the step in which it came first
	wanted, guard int  // of simQueries and simGuards
	deltas        bool // it takes them
	slow          bool // its writer looks when it pleases, and what it sends takes time

	has     bool
	version Version // of the content that it holds
	content string
	at      Stamp
	shown   int // the first version of the database at which it can be now

	session *simSession // nil while it is away
}

// simSession is a stream: what the server knows of one client, as host/serve does.
type simSession struct {
	node    *simNode
	client  *simClient
	live    *simSub // what is shown; nil before the first one
	attempt *simSub // is being subscribed
	woken   bool    // there is news

	// What the client has been sent.
	held    bool // no rows of the old subscription any more: the new one must catch up
	told    bool
	number  uint64
	status  Status
	has     bool
	version Version
	at      Stamp

	shown int  // the first version of the database at which what was sent can be
	based bool // shown is not only the client's word
	last  *State
	way   []simMessage // sent, not arrived
}

// simSub is one subscription, and what the judge knows of it.
type simSub struct {
	*Subscription
	session  *simSession
	call     simCall // what it is given
	policies []simCall
	scope    int8  // that it is given; -1: none
	at       Stamp // that it asked with
	epoch    int   // when it came
	arrived  int   // the database's version then
	floor    int   // it must show nothing older
	ready    bool
	unsure   bool // it was told that its policies are unknown
	spoken   bool // it has shown something else than a denial
	watches  []*Publication
}

// simMessage is what a client is told.
type simMessage struct {
	status Status
	frame  *Frame // the newest rows, nil if there are none to tell of
	delta  *Delta // how they are sent, if that is how
	sent   bool   // they are: the client lacks them
	at     Stamp
	shown  int
}

// connect brings a client: a new one, or one that comes back.
func (s *sim) connect(n *simNode) bool {
	online := 0
	for _, c := range s.clients {
		if c.session != nil {
			online++
		}
	}
	if online >= s.crowd {
		return false
	}
	var c *simClient
	if away := len(s.clients) - online; away > 0 && (away > 8 || s.rand.IntN(2) == 0) {
		c = pick(s, s.clients, func(c *simClient) (int, bool) { return c.number, c.session == nil })
		if s.rand.IntN(8) == 0 { // it has forgotten its rows, not what it was shown
			c.has = false
		}
	} else {
		c = &simClient{
			number: s.step, wanted: s.rand.IntN(len(simQueries)), guard: s.rand.IntN(len(simGuards)),
			deltas: s.rand.IntN(2) == 0, slow: s.rand.IntN(3) == 0,
		}
		switch s.rand.IntN(6) { // many want the longest, or the view
		case 0:
			c.wanted = len(simQueries) - 2
		case 1:
			c.wanted = simQueriesOfList*s.rand.IntN(3) + 3
		}
		s.clients = append(s.clients, c)
		if s.rand.IntN(6) == 0 { // a node that is not simulated has just shown it something
			c.at, c.shown = NewStamp(s.db.name, s.db.snapshot()), s.db.version
		}
	}
	if s.trace != nil {
		s.say("client %d comes to %s, holding %s", c.number, n.name, c.holding())
	}
	session := &simSession{node: n, client: c, has: c.has, version: c.version, at: c.at, shown: c.shown}
	c.session = session
	s.ask(session)
	return true
}

func (c *simClient) holding() string {
	if !c.has {
		return "nothing, at " + c.at.snapshot.String()
	}
	return c.version.String()[:4] + " at " + c.at.snapshot.String()
}

// ask subscribes a session, for the first time or because it was moved. What it
// shows stays until there is another.
func (s *sim) ask(session *simSession) {
	c := session.client
	s.abandon(session)
	call := simCall{c.wanted, -1, s.versions[simQueries[c.wanted].plugin()]}
	if s.removed[simQueries[c.wanted].plugin()] {
		s.say("client %d is told that its function was removed", c.number)
		s.leave(c, true)
		return
	}
	sub := &simSub{session: session, call: call, scope: -1, at: session.at, epoch: s.db.epoch, arrived: s.db.version}
	t := call.target()
	req := Request{Key: t.Key, Name: t.Name, Call: t.Call, Waves: t.Waves, At: session.at}
	for _, p := range simGuards[c.guard].policies {
		policy := simCall{-1, p, s.versions[simPolicyPlugin]}
		sub.policies = append(sub.policies, policy)
		req.Policies = append(req.Policies, policy.target())
	}
	if simGuards[c.guard].scoped {
		version := s.versions[0] // that of list
		req.Resolve = func(scope Scope) (Target, error) {
			sub.scope = int8(scope["list"][0] - '0')
			sub.call = simCall{listQuery(sub.scope), -1, version}
			return sub.call.target(), nil
		}
	}
	sub.Subscription = newSubscription(req, s.now)
	session.attempt = sub
	if s.trace != nil {
		s.say("client %d subscribes %s behind %v on %s", c.number, t.Name, simGuards[c.guard].policies, session.node.name)
	}
	session.node.core.subscribe(s.now, sub.Subscription)
}

// abandon leaves an attempt that nobody waits for any more.
func (s *sim) abandon(session *simSession) {
	if late := session.attempt; late != nil {
		session.attempt = nil
		session.node.core.leave(s.now, late.Subscription)
	}
}

// leave ends a client's session; a client that is gone for good is forgotten.
func (s *sim) leave(c *simClient, forGood bool) {
	if session := c.session; session != nil {
		c.session = nil
		s.abandon(session)
		if session.live != nil {
			session.node.core.leave(s.now, session.live.Subscription)
		}
	}
	if forGood {
		s.clients = without(s.clients, c)
	}
}

// cut ends a session in the middle: some of what is on its way arrives.
func (s *sim) cut(c *simClient) {
	arrive := s.rand.IntN(len(c.session.way) + 1)
	s.say("client %d loses its stream, %d of %d messages arrive", c.number, arrive, len(c.session.way))
	for range arrive {
		s.arrive(c)
	}
	s.leave(c, false)
}

// ready is called when a subscription has something to show.
func (s *sim) ready(n *simNode, subscription *Subscription) {
	for _, c := range s.clients {
		if c.session == nil || c.session.attempt == nil || c.session.attempt.Subscription != subscription {
			continue
		}
		sub := c.session.attempt
		if sub.ready {
			s.fail("client %d is ready twice", c.number)
		}
		if sub.err != nil {
			late := errors.Is(sub.err, ErrAhead) && !sub.at.IsZero() && s.now.Sub(sub.Subscription.asking.arrived) >= s.cfg.MaxStale
			full := errors.Is(sub.err, ErrTooManyGroups) && s.cfg.MaxGroups < 100
			if !late && !full {
				s.fail("client %d is refused: %v", c.number, sub.err)
			}
			s.say("client %d is refused: %v", c.number, sub.err)
			s.leave(c, false)
			return
		}
		sub.ready = true
		sub.floor = s.floor(sub)
		// Whether or not the writer looks in time to tell.
		f := subscription.fence
		sub.unsure = f.result == nil && f.conflict == nil && f.denial == nil && f.err == nil
		if st, shown := sub.State(); shown && st.Number == 0 && st.Err != nil {
			sub.unsure = true
		}
		c.session.woken = true
		return
	}
}

// wake tells the sessions that watch a publication.
func (s *sim) wake(n *simNode, p *Publication) {
	for _, c := range s.clients {
		if c.session != nil && c.session.node == n && c.session.live != nil && slices.Contains(c.session.live.watches, p) {
			c.session.woken = true
		}
	}
}

// turns lets the writers look that do not dawdle.
func (s *sim) turns(n *simNode) {
	for i := 0; i < len(s.clients); i++ {
		c := s.clients[i]
		if c.session != nil && c.session.node == n && c.session.woken && !c.slow {
			s.turn(c)
			s.arriveAll(c)
		}
	}
}

// turn lets the writer of a session look at what may be shown now, and send it. It
// is host/serve in short: latest state wins.
func (s *sim) turn(c *simClient) {
	n := c.session
	n.woken = false
	if n.attempt != nil && n.attempt.ready {
		s.adopt(n)
	}
	if n.live == nil {
		return
	}
	st, shown := n.live.State()
	if !shown {
		return
	}
	s.judge(n, &st)
	if n.knows(&st) || n.held && st.Frame != nil {
		return
	}
	if s.trace != nil {
		s.say("the writer of client %d sees %s of %d: %s", c.number, st.Status, st.Number, s.text(st.Frame))
	}
	switch st.Status {
	case Moved:
		if n.live.Scoped() && n.live.Query() != "" && n.has {
			// Rows of a scope that is not the client's any longer.
			n.has = false
			n.way = append(n.way, simMessage{status: Denied, at: n.at, shown: n.shown})
		}
		if n.attempt == nil {
			s.ask(n)
		}
		return
	case Denied:
		n.has = false
		if n.live.Query() != "" && n.attempt == nil && s.rand.IntN(4) == 0 {
			s.ask(n) // nobody runs a query that nobody may see
		}
	}
	m := simMessage{status: st.Status, frame: st.Frame, shown: n.shown}
	n.at = st.At.Later(n.at)
	if m.at = n.at; st.Frame != nil {
		if c.deltas {
			st.Frame.Want()
		}
		if m.sent = !n.has || n.version != st.Frame.Version; m.sent && n.has && c.deltas {
			m.delta = st.Frame.Delta(n.version)
		}
		n.has, n.version = true, st.Frame.Version
	}
	n.told, n.status, n.number = true, st.Status, max(n.number, st.Number)
	if n.last == nil || st.At.Covers(n.last.At) {
		n.last = &st // of two policies that deny the second may have said so before
	}
	n.way = append(n.way, m)
}

// knows reports whether the client was shown the group's state, or a newer one.
func (n *simSession) knows(st *State) bool {
	if !n.told || st.Number == 0 {
		return false
	}
	return st.Number < n.number || st.Number == n.number && n.status == st.Status
}

// adopt installs an attempt that is ready, unless the one before has shown something
// newer meanwhile: then it is subscribed once more, from there on (W2).
func (s *sim) adopt(n *simSession) {
	old, sub := n.live, n.attempt
	if old != nil && !sub.Covers(n.at) {
		s.say("client %d was shown newer meanwhile and subscribes once more", n.client.number)
		n.held = true
		s.ask(n)
		return
	}
	n.held = false
	if q := sub.Query(); old == nil || q != "" && old.Query() != q {
		n.told, n.number, n.last = false, 0, nil
	}
	n.live, n.attempt = sub, nil
	sub.watches = sub.Watches()
	if n.based {
		n.shown = max(n.shown, sub.floor)
	} else {
		n.shown, n.based = sub.floor, true
	}
	if old != nil {
		n.node.core.leave(s.now, old.Subscription)
	}
}

// arrive hands the oldest message on its way to the client.
func (s *sim) arrive(c *simClient) {
	n := c.session
	if len(n.way) == 0 {
		return
	}
	m := n.way[0]
	n.way = n.way[1:]
	c.at, c.shown = m.at, m.shown
	switch {
	case m.status == Denied:
		c.has, c.content = false, ""
		return
	case m.frame == nil:
		return
	case m.delta != nil:
		if !c.has || m.delta.From != c.version || m.delta.To != m.frame.Version {
			s.fail("D1: client %d holds %s and is sent a delta from %s", c.number, c.holding(), m.delta.From)
		}
		content, ok := applyDelta(c.content, string(m.delta.Event()))
		if !ok {
			s.fail("D1: client %d cannot put %s into %s", c.number, m.delta.Event(), c.content)
		}
		c.content = content
		s.count.deltas++
		s.say("client %d takes a delta", c.number)
	case m.sent:
		c.content = string(m.frame.Content())
		s.count.results++
	}
	c.has, c.version = true, m.frame.Version
	want := s.frames[m.frame]
	if got := string(m.frame.Content()); c.content != got {
		s.fail("D1: client %d holds %s, which is said to be %s", c.number, c.content, got)
	} else if got != string(want.encode()) {
		s.fail("W4: a frame holds %s, %s was read", got, want.encode())
	}
}

func (s *sim) arriveAll(c *simClient) {
	for c.session != nil && len(c.session.way) > 0 {
		s.arrive(c)
	}
}

// applyDelta puts a delta into the rows of a content. It reads only what simAnswer
// writes: no row has a brace or a bracket in it.
func applyDelta(content, event string) (string, bool) {
	const head = `"key":["id"],"rows":[`
	if !strings.HasPrefix(content, head) {
		return "", false
	}
	rows := simRowTexts(content[len(head):])
	_, sets, found := strings.Cut(event, `"set":[`)
	sets, dels, found2 := strings.Cut(sets, `],"del":[`)
	if !found || !found2 {
		return "", false
	}
	for del := range strings.SplitSeq(strings.TrimSuffix(dels, "]}\n\n"), ",") {
		if del == "" {
			continue
		}
		at := slices.IndexFunc(rows, func(row string) bool { return simRowKey(row) == strings.Trim(del, `"`) })
		if at < 0 {
			return "", false
		}
		rows = slices.Delete(rows, at, at+1)
	}
	for sets != "" {
		var place string
		sets = strings.TrimLeft(sets, ",[")
		place, sets, _ = strings.Cut(sets, ",")
		row := sets[strings.IndexByte(sets, '{') : strings.IndexByte(sets, '}')+1]
		_, sets, _ = strings.Cut(sets, "}]")
		at := 0
		for _, digit := range place {
			at = 10*at + int(digit-'0')
		}
		switch {
		case at > len(rows):
			return "", false
		case at < len(rows) && simRowKey(rows[at]) == simRowKey(row):
			rows[at] = row
		default:
			rows = slices.Insert(rows, at, row)
		}
	}
	return head + strings.Join(rows, ",") + "]", true
}

func simRowTexts(text string) (rows []string) {
	for {
		from := strings.IndexByte(text, '{')
		if from < 0 {
			return rows
		}
		to := strings.IndexByte(text, '}') + 1
		rows, text = append(rows, text[from:to]), text[to:]
	}
}

func simRowKey(row string) string {
	return row[len(`{"id":`):strings.IndexByte(row, ',')]
}

// follow asks to be told when the clients of a node show a transaction (F10).
func (s *sim) follow(n *simNode, xid uint64) {
	sync := &Sync{Tx: TxStamp(s.db.name, xid), arrived: s.now}
	var subs []*simSub
	for _, c := range s.clients {
		if c.session != nil && c.session.node == n && c.session.live != nil {
			sub := c.session.live
			sync.Subscriptions, subs = append(sync.Subscriptions, sub.Subscription), append(subs, sub)
		}
	}
	born := n.born
	sync.Done = func() {
		if n.born != born {
			return
		}
		n.syncs--
		if n.core.captured.After(sync.arrived) {
			return // what was dark then was waited for no longer, and is again
		}
		for _, sub := range subs {
			st, shown := sub.State()
			if !shown || sub.left || sub.group() == nil || n.core.known.IsZero() || st.Status != Live || sub.group().subs == 0 {
				continue
			}
			if newest := sub.group().pub.State().Number; st.Number == newest && !sub.Saw(sync.Tx) {
				s.fail("F10: client %d is shown %v on %s, %d is not in it", sub.session.client.number, st.At.snapshot, n.name, xid)
			}
		}
	}
	n.syncs++
	n.core.follow(sync)
}
