package reactor

// lanes hold the groups that are due and wait for a free slot, first come, first
// served. Decisions have a lane of their own and go first, since results wait for
// them; but once more of them wait than their share, the lanes take turns, or
// queries would starve behind policies (F7).
type lanes struct {
	decisions, queries []*group
	turn               bool // the queries' turn
}

func (l *lanes) push(g *group) {
	if g.decides {
		l.decisions = append(l.decisions, g)
	} else {
		l.queries = append(l.queries, g)
	}
}

func (l *lanes) len() int { return len(l.decisions) + len(l.queries) }

// oldest returns the group that has waited longest in its lane, nil if none
// waits.
func (l *lanes) oldest() *group {
	var oldest *group
	for _, lane := range [...][]*group{l.decisions, l.queries} {
		if len(lane) > 0 && (oldest == nil || lane[0].since.Before(oldest.since)) {
			oldest = lane[0]
		}
	}
	return oldest
}

// order returns the lanes in the order in which a wave is filled from them.
func (l *lanes) order(share int) [2]*[]*group {
	order := [2]*[]*group{&l.decisions, &l.queries}
	if len(l.decisions) <= share {
		l.turn = false
		return order
	}
	if l.turn {
		order[0], order[1] = order[1], order[0]
	}
	l.turn = !l.turn
	return order
}
