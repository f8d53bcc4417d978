package serve

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"time"
	"unique"

	"weir/abi"
	"weir/reactor"
)

// statusUnchanged is the word of a sub event that no reactor.Status has.
const statusUnchanged = "unchanged"

// scopeChanged is the reason of a denial that ends rows of a scope that the
// client no longer has; those of its new one follow.
const scopeChanged = "scope_changed"

// subscription is one query in one session. All fields are protected by the
// session's mutex.
type subscription struct {
	id     string               // the client's id, as JSON
	asked  unique.Handle[asked] // once for all who ask the same
	params url.Values           // the arguments, if the request had them as parameters

	live    *Live    // what is shown; nil before the first one and while refused
	attempt *attempt // the newest call of Subscribe; nil when it was adopted

	// What the client has been told.
	told     bool // the first sub event for this publication, or the refusal
	begun    bool // it ever had a sub event with a query
	has      bool // the client has version
	todo     bool // waits for a call of Subscribe
	held     bool // live shows no other rows: the next one must catch up with it
	released bool // its place was given back already
	status   reactor.Status
	number   uint64 // of the newest state that was told
	reason   string
	version  reactor.Version
	at       *reactor.Stamp // the newest state that was told, or that the client has named

	refused *problem // why there is no live result: a denial, or a passing refusal of a move
	over    *ending  // what is told last
	retry   *retry   // nil: not by itself
}

// asked is a query's name and the JSON of its arguments, empty if there are none.
type asked struct{ name, args string }

// retry is when a subscription subscribes anew by itself; zero: not.
type retry struct {
	at    time.Time
	delay time.Duration
}

// newSubscription makes the subscription of a client's id to a query. at, which may
// be nil, is what the client was shown before.
func newSubscription(id, name string, args Arguments, at *reactor.Stamp) *subscription {
	return &subscription{id: id, asked: unique.Make(asked{name, string(args.JSON)}), params: args.Params, at: at}
}

// name is the query's.
func (sub *subscription) name() string { return sub.asked.Value().name }

// query is what the backend is asked.
func (sub *subscription) query(tenantName string) Query {
	a := sub.asked.Value()
	q := Query{Tenant: tenantName, Name: a.name, Args: Arguments{Params: sub.params}}
	if a.args != "" {
		q.Args.JSON = []byte(a.args)
	}
	if sub.at != nil {
		q.At = *sub.at
	}
	return q
}

func (sub *subscription) retryAt() time.Time {
	if sub.retry == nil {
		return time.Time{}
	}
	return sub.retry.at
}

// ending is how a subscription ends. Zero for silently.
type ending struct {
	problem *problem
	reason  abi.Code
	message string
}

// again makes a subscription wait for another call of Subscribe. The result that
// it has stays until the new one is there, so that nothing is lost by a move.
func (sub *subscription) again() bool {
	if sub.over != nil || sub.todo {
		return false
	}
	sub.todo = true
	if sub.retry != nil {
		sub.retry.at = time.Time{} // its delay counts on
	}
	return true
}

// Back-off of a refused move.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// install takes the outcome of an attempt and returns the subscription that is to
// be left, nil if none.
func (sub *subscription) install(a *attempt, now time.Time) (left *Live) {
	if sub.over != nil {
		return a.live
	}
	left, sub.held = sub.live, false
	if a.err == nil {
		// One without a query has no rows to announce: only what is new of it is
		// told, so that who was told of a denial is not told again.
		if q := a.live.Query(); left == nil || q != "" && left.Query() != q {
			sub.told, sub.number = false, 0
		}
		sub.live, sub.refused, sub.retry = a.live, nil, nil
		return left
	}
	p := problemOf(a.err)
	sub.live = nil
	switch {
	case p.Code == abi.Denied:
		// Deny is a state: the subscription stays, and a renewed token or another
		// plugin may bring it back.
		sub.refused, sub.told, sub.has = &p, false, false
	case !sub.begun && !errors.Is(a.err, errUndecided): // unknown is a state too (F4)
		sub.over = &ending{problem: &p}
	case p.Code == abi.UnknownFunction || p.Code == abi.PluginRemoved:
		sub.over = &ending{reason: abi.PluginRemoved, message: problems[abi.PluginRemoved].message}
	case p.Retryable:
		sub.refused, sub.told = &p, false
		delay := firstRetry
		if sub.retry != nil {
			delay = min(lastRetry, max(firstRetry, 2*sub.retry.delay))
		}
		sub.retry = &retry{now.Add(delay/2 + rand.N(delay)), delay}
	default:
		sub.over = &ending{problem: &p}
	}
	return left
}

// appendOver appends what is told last.
func (sub *subscription) appendOver(dst []byte) []byte {
	switch {
	case sub.over.problem != nil:
		return appendEvent(dst, "problem", sub.problemEvent(*sub.over.problem))
	case sub.over.reason != "":
		return appendEvent(dst, "end", endEvent{json.RawMessage(sub.id), sub.over.reason, sub.over.message})
	}
	return dst
}

func (sub *subscription) problemEvent(p problem) problemEvent {
	return problemEvent{json.RawMessage(sub.id), p.Code, p.Message, p.Retryable}
}

// appendRefused appends the state of a subscription that has no live result.
func (sub *subscription) appendRefused(dst []byte, at reactor.Stamp) []byte {
	sub.told = true
	status, reason := reactor.Stale.String(), string(sub.refused.Code)
	if sub.refused.Code == abi.Denied {
		status = reactor.Denied.String()
		if sub.refused.Reason != "" {
			reason = sub.refused.Reason
		}
	}
	return appendEvent(dst, "sub", subEvent{ID: json.RawMessage(sub.id), Status: status, Reason: reason, At: at.String()})
}

// shares reports whether st, which is told to another subscription, is also the
// state of this one, of the same group.
func (sub *subscription) shares(with *subscription, st *reactor.State) bool {
	if sub.live == nil || sub.over != nil || sub.held || st.Number == 0 || sub.live.Query() != with.live.Query() {
		return false
	}
	own, shown := sub.live.State()
	return shown && own.Number == st.Number && own.Status == st.Status
}

// knows reports whether the client was shown the group's state, or a newer one.
func (sub *subscription) knows(st *reactor.State) bool {
	if !sub.told || st.Number == 0 {
		return false
	}
	// An older one that is let through at last is no news.
	return st.Number < sub.number || st.Number == sub.number && sub.status == st.Status
}

// appendState appends the sub event for a state, if it says anything new, and
// reports whether the client lacks the state's frame. at is the session's stamp
// with this state.
func (sub *subscription) appendState(dst []byte, st *reactor.State, at reactor.Stamp) (_ []byte, lacks bool) {
	first, reason := !sub.told, ""
	var p problem
	switch {
	case st.Status == reactor.Denied:
		reason, sub.has = cmp.Or(st.Reason, st.Policy), false
	case st.Err != nil:
		p = problemOf(st.Err)
		reason = string(p.Code)
	}
	lacks = st.Frame != nil && !(sub.has && sub.version == st.Frame.Version)
	news := first || lacks || st.Status != sub.status || reason != sub.reason
	sub.told, sub.begun = true, true
	sub.number, sub.status, sub.reason, sub.at = max(st.Number, sub.number), st.Status, reason, reactor.LaterStamp(st.Shown(), sub.at)
	if !news {
		return dst, false // only `at` moved: the next ping or result carries it (F10)
	}
	e := subEvent{ID: json.RawMessage(sub.id), Query: sub.live.Query(), Status: st.Status.String(), Reason: reason, At: at.String()}
	if st.Frame != nil {
		e.V = st.Frame.Version.String()
		sub.has, sub.version = true, st.Frame.Version
		if first && !lacks && st.Status == reactor.Live {
			e.Status = statusUnchanged
		}
	}
	dst = appendEvent(dst, "sub", e)
	if st.Status == reactor.Failed {
		if st.Err == nil {
			p = problemOfCode(abi.Internal, "")
		}
		dst = appendEvent(dst, "problem", sub.problemEvent(p))
	}
	return dst, lacks
}
