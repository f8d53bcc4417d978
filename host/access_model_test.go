package host_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// accessModel is the database of TestAccessOracle as it was after each commit:
// its transactions are serial, so that their number says which state a frame may
// show. It knows nothing of weir.
type accessModel struct {
	mu     sync.Mutex // protects the field below
	states []accessState
}

// accessState is everything that is committed.
type accessState struct {
	members map[[2]string]int // org and user → team
	bans    map[string]bool
	docs    map[int]accessDoc
	did     string // the transaction that made it
}

type accessDoc struct {
	org  string
	team int
	body string
}

func (s *accessState) clone() accessState {
	return accessState{maps.Clone(s.members), maps.Clone(s.bans), maps.Clone(s.docs), ""}
}

// watched is one subscription: which function, with which argument, by whom.
type watched struct{ fn, org, user string }

// allows is what the policies of the function say.
func (s *accessState) allows(w watched) bool {
	_, member := s.members[[2]string{w.org, w.user}]
	switch w.fn {
	case "docs.org", "docs.hot":
		return member
	case "docs.free":
		return member && !s.bans[w.user]
	}
	_, member = s.members[[2]string{"1", w.user}] // docs.mine: the scope is of org 1
	return member
}

// answer is the result of the function, one line a row.
func (s *accessState) answer(w watched) string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(s.docs)) {
		d := s.docs[id]
		if w.fn == "docs.mine" && (d.org != "1" || d.team != s.members[[2]string{"1", w.user}]) || w.fn != "docs.mine" && d.org != w.org {
			continue
		}
		fmt.Fprintf(&out, "%d %s\n", id, d.body)
	}
	return out.String()
}

// add says what the next commit makes. It comes before the commit: a frame may
// come before the writer hears of it.
func (m *accessModel) add(s accessState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states = append(m.states, s)
}

func (m *accessModel) newest() (accessState, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[len(m.states)-1], len(m.states) - 1
}

// find returns the first state from first on in which the content was the answer
// and the policies allowed it. If there is none, denied says whether it was ever
// the answer.
func (m *accessModel) find(w watched, content string, first int) (at int, denied, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := first; i < len(m.states); i++ {
		if m.states[i].answer(w) != content {
			continue
		}
		if m.states[i].allows(w) {
			return i, false, true
		}
		denied = true
	}
	return 0, denied, false
}

// history says what was answered and allowed lately.
func (m *accessModel) history(w watched, content string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	for i := max(0, len(m.states)-25); i < len(m.states); i++ {
		s := &m.states[i]
		fmt.Fprintf(&out, "%d: allowed %v, that answer %v, %s\n", i, s.allows(w), s.answer(w) == content, s.did)
	}
	return out.String()
}

// everDenied reports whether the policies denied in any state from first on.
func (m *accessModel) everDenied(w watched, first int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.states[first:], func(s accessState) bool { return !s.allows(w) })
}
