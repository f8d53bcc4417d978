package reactor

import "time"

// allDisturbances are what seldom happens.
func (s *sim) allDisturbances() []func() {
	node := func(f func(n *simNode)) func() {
		return func() { f(s.nodes[s.rand.IntN(len(s.nodes))]) }
	}
	return []func(){
		s.crash,
		node(func(n *simNode) {
			n.cursor.lost = true
			s.say("the log has been trimmed before %s has read it", n.name)
		}),
		node(func(n *simNode) {
			n.hurt = !n.hurt
			s.say("runs fail on %s: %v", n.name, n.hurt)
		}),
		func() {
			s.say("a long silence")
			s.pass(6 * time.Second)
		},
		node(func(n *simNode) {
			n.deaf = s.now.Add(7 * time.Second)
			s.say("%s cannot read the log for long", n.name)
			s.pass(6 * time.Second)
		}),
		func() {
			s.say("the clock jumps")
			s.pass(20 * time.Minute)
		},
		node((*simNode).restart),
		func() { s.swap(s.rand.IntN(simPluginCount)) },
		func() { s.swap(s.rand.IntN(simPluginCount)) },
		func() { s.remove(s.rand.IntN(simPolicyPlugin)) },
		s.blacken,
		s.capture,
		func() {}, // stands for waves that hang, see hangs
	}
}

// hangs reports whether the next wave is one that does not return.
func (s *sim) hangs() bool { return s.seed%3 == 0 && s.rand.IntN(24) == 0 }

func (s *sim) crash() {
	s.db.crash()
	for _, n := range s.nodes {
		n.analysed.known = n.analysed.known && s.rand.IntN(2) == 0 // its connections may not have noticed
	}
	s.say("the database crashes: epoch %d, next %d", s.db.epoch, s.db.next)
}

// swap loads another version of a plugin. Sessions that use it subscribe anew and
// keep what they have until there is another; runs of the old one go on.
func (s *sim) swap(plugin int) {
	s.versions[plugin]++
	s.say("plugin %d is replaced by version %d", plugin, s.versions[plugin])
	s.resubscribe(plugin)
}

// remove takes a plugin away, or brings it back.
func (s *sim) remove(plugin int) {
	s.removed[plugin] = !s.removed[plugin]
	s.say("plugin %d is removed: %v", plugin, s.removed[plugin])
	s.resubscribe(plugin)
}

func (s *sim) resubscribe(plugin int) {
	for i := len(s.clients) - 1; i >= 0; i-- {
		c := s.clients[i]
		uses := simQueries[c.wanted].plugin() == plugin || plugin == simPolicyPlugin && len(simGuards[c.guard].policies) > 0 || simGuards[c.guard].scoped && plugin == 0
		if c.session != nil && uses {
			s.ask(c.session)
		}
	}
}

// blacken switches the triggers of a table off. The nodes are told before.
func (s *sim) blacken() {
	t := s.rand.IntN(2)
	if s.db.dark[t] || s.db.writing(t) {
		return
	}
	s.say("changes of table %d are not logged from here on", t)
	s.db.dark[t] = true
	s.tellDark()
}

// capture switches all triggers on again and tells the nodes.
func (s *sim) capture() {
	was := s.db.dark
	for t := range s.db.dark {
		if s.db.dark[t] && !s.db.writing(t) {
			s.db.dark[t], s.dimmed[t] = false, s.db.version
		}
	}
	if s.db.dark != was {
		s.say("changes are logged again")
		s.tellDark()
	}
}

func (s *sim) tellDark() {
	for _, n := range s.nodes {
		n.core.setUncaptured(s.now, s.uncaptured())
		n.settle()
	}
}

// uncaptured are the tables whose changes are not logged, as a node is told.
func (s *sim) uncaptured() map[uint32]string {
	var tables map[uint32]string
	for t, dark := range s.db.dark {
		if dark {
			if tables == nil {
				tables = map[uint32]string{}
			}
			tables[simTable(t)] = "no trigger"
		}
	}
	return tables
}
