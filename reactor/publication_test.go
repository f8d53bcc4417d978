package reactor

import (
	"fmt"
	"testing"
	"unsafe"
)

// TestSubscriptionKeepsNothingOfItsRequest: there are many thousands of them, and
// what each of them holds is counted (N9). What was asked is let go when it was
// answered.
func TestSubscriptionKeepsNothingOfItsRequest(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Subscription{}); size > 64 {
		t.Errorf("a subscription is %d bytes, 64 are the most", size)
	}
	told := 0
	s := newSubscription(Request{Key: "k", Policies: []Target{{Key: "p"}}, Ready: func(*Subscription) { told++ }}, newScript(t).now)
	s.told()
	s.told()
	if s.asking != nil || told != 1 {
		t.Errorf("it still has %v, and was told %d times", s.asking, told)
	}
}

// F9: what the loop does for a change does not grow with those who watch. One
// publication is told, whoever watches it asks the same fence, and a thousand
// subscribers allocate no more than one. Not parallel: allocations are counted in
// the whole process.
func TestPublishingCostsNothingPerSubscriber(t *testing.T) {
	costs := func(subs int) float64 {
		s := newScript(t)
		s.apply([]string{"10"}, true)
		for i := range subs {
			s.subscribe([]string{fmt.Sprint("s", i), "messages", "by=member"})
		}
		s.dispatch(nil)
		s.finish([]string{"member", "snapshot=10", "allow", "reads=members[room=1]"})
		s.dispatch(nil)
		s.finish([]string{"g1", "snapshot=10", "value=1", "reads=messages[room=1]"})
		s.core.out = outputs{}
		first := s.subs["s0"]
		for _, sub := range s.subs {
			if sub.fence != first.fence || sub.group() != first.group() {
				t.Fatal("two subscriptions with the same decisions have two fences, or groups")
			}
		}
		xid := 10
		return testing.AllocsPerRun(50, func() {
			s.apply([]string{fmt.Sprint(xid + 1), fmt.Sprintf("%d:update:messages/room=1", xid)}, false)
			s.dispatch(nil)
			s.finish([]string{"g1", fmt.Sprintf("snapshot=%d", xid+1), fmt.Sprintf("value=%d", xid), "reads=messages[room=1]"})
			if got := s.core.out.published; len(got) != 1 || len(s.core.out.ready) != 0 {
				t.Fatalf("%d watch: %d publications and %d subscriptions are told", subs, len(got), len(s.core.out.ready))
			}
			s.core.out = outputs{}
			xid++
		})
	}
	one, many := costs(1), costs(1000)
	if many > one+1 {
		t.Errorf("a change costs %v allocations for a thousand, %v for one", many, one)
	}
}
