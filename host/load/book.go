package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mark is a write that a result shows.
type mark struct{ group, n int }

// marksOf returns the newest write of each group that text shows.
func marksOf(prefix string, text []byte) (list []mark) {
	for {
		_, rest, found := bytes.Cut(text, []byte(prefix))
		if !found {
			return list
		}
		text = rest
		group, rest, ok1 := number(rest)
		n, rest, ok2 := number(rest)
		if !ok1 || !ok2 {
			continue
		}
		text = rest
		known := false
		for i := range list {
			if list[i].group == group {
				list[i].n, known = max(list[i].n, n), true
			}
		}
		if !known {
			list = append(list, mark{group, n})
		}
	}
}

// number reads digits up to a colon.
func number(text []byte) (n int, rest []byte, ok bool) {
	digits, _, found := bytes.Cut(text[:min(len(text), 12)], []byte(":"))
	if !found {
		return 0, text, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, text[len(digits)+1:], err == nil
}

// Book knows what was written to each group, and when. It is safe for concurrent
// use.
type Book struct {
	prefix string // begins the text by which a result is recognised; of this run alone

	mu        sync.Mutex    // protects the fields below
	begun     [][]time.Time // by group and number, just before the commit
	committed []int         // by group, the newest that was committed
}

// NewBook makes a book of groups 0 to groups-1. Write 0 of each is what may be there
// before, and is never a sample.
func NewBook(groups int) *Book {
	b := &Book{
		prefix: fmt.Sprintf("weir-bench:%08x:", rand.Uint32()),
		begun:  make([][]time.Time, groups), committed: make([]int, groups),
	}
	for i := range b.begun {
		b.begun[i], b.committed[i] = make([]time.Time, 1), -1
	}
	return b
}

// Groups returns how many groups there are.
func (b *Book) Groups() int { return len(b.begun) }

// Mark returns the text of a group's n-th write, padded to size bytes. It has no
// character that JSON or SQL would escape.
func (b *Book) Mark(group, n, size int) string {
	head := fmt.Sprintf("%s%d:%d:", b.prefix, group, n)
	return head + strings.Repeat("x", max(0, size-len(head)))
}

// Next begins a write of a group and returns its number. One goroutine at a time
// writes a group.
func (b *Book) Next(group int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun[group] = append(b.begun[group], time.Time{})
	return len(b.begun[group]) - 1
}

// Committing notes that a write is committed from now on.
func (b *Book) Committing(group, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun[group][n] = time.Now()
}

// Committed notes that it was.
func (b *Book) Committed(group, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committed[group] = n
}

// Newest returns the number of the newest committed write of a group, -1 if there is
// none.
func (b *Book) Newest(group int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.committed[group]
}

// Begun returns when a write began to commit, zero if it never did.
func (b *Book) Begun(group, n int) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= len(b.begun[group]) {
		return time.Time{}
	}
	return b.begun[group][n]
}
