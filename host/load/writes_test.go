package load

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// recorder is a Writer that fails on some transactions.
type recorder struct {
	mu     sync.Mutex // protects the fields below
	all    []Change
	worker map[int]int // by group
	fails  func(Change) bool
}

var errRecorder = errors.New("refused")

// Write notes the changes.
func (r *recorder) Write(_ context.Context, worker int, changes []Change, committing func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	committing()
	for _, c := range changes {
		if w, known := r.worker[c.Group]; known && w != worker {
			return errors.New("a group has two writers")
		}
		r.worker[c.Group] = worker
		if r.fails != nil && r.fails(c) {
			return errRecorder
		}
		r.all = append(r.all, c)
	}
	return nil
}

// TestGroupsAreWrittenInOrder: by one worker each, numbered without gaps, and only of
// the groups that were asked for.
func TestGroupsAreWrittenInOrder(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3, 50} {
		b := NewBook(10)
		r := &recorder{worker: map[int]int{}}
		shown := 0
		done := Writes{Book: b, Writer: r, First: 2, Groups: 7, Each: 2, Workers: workers, Count: 200, Shown: func(context.Context) { shown++ }}.Run(t.Context())
		if done.Done != 200 || done.Failed != 0 || done.Late != 0 || shown != 200 || done.Err != nil {
			t.Fatalf("%+v, shown %d times", done, shown)
		}
		newest := map[int]int{}
		for _, c := range r.all {
			if c.Group < 2 || c.Group > 8 || c.N != newest[c.Group]+1 || !slices.Equal(marksOf(b.prefix, []byte(c.Text)), []mark{{c.Group, c.N}}) {
				t.Fatalf("%d workers: %+v after %d", workers, c, newest[c.Group])
			}
			newest[c.Group] = c.N
		}
		for group, n := range newest {
			if b.Newest(group) != n || b.Begun(group, n).IsZero() {
				t.Errorf("group %d: %d is committed, want %d", group, b.Newest(group), n)
			}
		}
		if b.Newest(0) != -1 || b.Newest(9) != -1 {
			t.Error("a group that nobody asked for is written")
		}
	}
}

// TestRefusedWritesAreCounted: and are no committed state that a client must show.
func TestRefusedWritesAreCounted(t *testing.T) {
	t.Parallel()
	b := NewBook(1)
	r := &recorder{worker: map[int]int{}, fails: func(c Change) bool { return c.N > 5 }}
	done := Writes{Book: b, Writer: r, Groups: 1, Count: 8, Shown: func(context.Context) {}}.Run(t.Context())
	if done.Done != 5 || done.Failed != 3 || !errors.Is(done.Err, errRecorder) || b.Newest(0) != 5 {
		t.Errorf("%+v, newest %d", done, b.Newest(0))
	}
}
