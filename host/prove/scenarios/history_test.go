package scenarios

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// history is every state of one query's result that was committed, in order: a
// revision for each transaction that touched it.
type history struct {
	name string
	// sql gives the result as PostgreSQL has it now, one JSON list.
	sql string
	// without is a column that the rows have beside those of sql: a whole number that
	// never falls while a client watches.
	without string
	order   int // in which transactions wait for it

	writing sync.Mutex // held from the first statement of a transaction to its end

	mu   sync.Mutex // protects the fields below
	revs []revision
	done int                 // the newest that is committed
	at   map[[32]byte][]int  // revisions by what they show
	dark map[string][][2]int // by user: revisions from the first to before the second are not his to see
}

type revision struct {
	sum   [32]byte
	text  string
	begun time.Time // just before its commit
	same  bool      // as the one before: nobody is told
}

func newHistory(name, sql string) *history {
	return &history{name: name, sql: sql, at: map[[32]byte][]int{}, dark: map[string][][2]int{}}
}

// note adds a revision, before it is committed. It returns its number.
func (h *history) note(text string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, r := len(h.revs), revision{sum: sha256.Sum256([]byte(text)), text: text, begun: time.Now()}
	if n > 0 {
		r.same = h.revs[n-1].sum == r.sum
		if n > 1 {
			h.revs[n-1].text = "" // the newest one is enough to be told of
		}
	}
	h.revs = append(h.revs, r)
	h.at[r.sum] = append(h.at[r.sum], n)
	return n
}

// committed notes that a revision is, and returns the newest that is.
func (h *history) committed(rev int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = max(h.done, rev)
	return h.done
}

// shut notes that a user may not see what begins with a revision, and let that he
// may again.
func (h *history) shut(user string, rev int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dark[user] = append(h.dark[user], [2]int{rev, -1})
}

func (h *history) let(user string, rev int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dark[user][len(h.dark[user])-1][1] = rev
}

// maySee reports whether a user may see what was committed by a revision.
func (h *history) maySee(user string, rev int) bool {
	for _, d := range h.dark[user] {
		if rev >= d[0] && (d[1] < 0 || rev < d[1]) {
			return false
		}
	}
	return true
}

// place finds the earliest revision from one on that shows a state and that the user
// may see, and how long ago each one up to it that tells something was committed. An
// error says which promise is broken.
func (h *history) place(user string, from int, sum [32]byte, now time.Time) (rev int, waited []time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	places := h.at[sum]
	if len(places) == 0 {
		return 0, nil, fmt.Errorf("W1: %s: a state was shown that was never committed", h.name)
	}
	rev = -1
	for _, p := range places {
		if p >= from && h.maySee(user, p) {
			rev = p
			break
		}
	}
	if rev < 0 {
		if last := places[len(places)-1]; last < from {
			return 0, nil, fmt.Errorf("W2: %s: revision %d was shown after %d", h.name, last, from)
		}
		return 0, nil, fmt.Errorf("W5: %s: revisions %v were shown to %s, who is shut out of %v", h.name, places, user, h.dark[user])
	}
	for r := from + 1; r <= rev; r++ { // all that it shows for the first time
		if !h.revs[r].same {
			waited = append(waited, now.Sub(h.revs[r].begun))
		}
	}
	return rev, waited, nil
}

// newest is the last revision and what it shows.
func (h *history) newest() (rev int, sum [32]byte, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.revs[len(h.revs)-1]
	return len(h.revs) - 1, last.sum, last.text
}
