package host

import (
	"fmt"
	"slices"
	"strings"

	"weir/reactor"
)

// database is the name of the database that is captured, for hints.
func (h *Host) database() string { return h.explained().database.Database() }

// tell says the state of a result in sentences, the most telling first.
func (w *Why) tell(r *reactor.Report, database string) {
	say := func(format string, args ...any) { w.Story = append(w.Story, fmt.Sprintf(format, args...)) }
	w.State = w.state(r)
	if !w.Capture.Healthy {
		say("%s: nothing is known of changes, and results say stale", w.Capture.Text)
	} else if r.Behind {
		say("the change log is behind: results say stale until it is read again")
	}
	for _, why := range sortedValues(r.Uncaptured) {
		say("not captured: %s: its changes reach no result; run weir db setup", why)
	}
	for _, d := range r.Decisions {
		switch {
		case d.Known && d.Err != nil:
			say("%s decides nothing (%v): nothing is shown until it does", d.Name, d.Err)
		case d.Answer == reactor.Deny:
			say("denied by %s%s", d.Name, because(d.Reason))
		}
	}
	if r.Undecided != nil {
		say("the policies allow, but their scope is of no use to the function: %v", r.Undecided)
	}
	g := r.Group
	switch {
	case g == nil && (r.Answer == reactor.Allow || r.At.IsZero()) && r.Undecided == nil:
		say("nobody watches this result: it runs when somebody subscribes")
	case g == nil && w.State == "nobody":
		say("nobody with this access watches: policies and function run when somebody subscribes")
	case g == nil:
	case w.State == "nobody":
		say("nobody with this access watches; the result is live because others watch it, who may")
	case r.Held && len(r.By) > 0:
		say("fenced by %s: a newer result is there, and is shown when the decision is known to hold for it", strings.Join(r.By, ", "))
	case r.Held:
		say("fenced: a newer result is there, and is shown when the change log is applied as far")
	case g.Err != nil && g.Status == reactor.Failed:
		say("it never had a result: %v", g.Err)
	case g.Err != nil:
		say("stale: %v", g.Err)
	case g.Running:
		say("it runs now")
	case g.Dirty:
		say("a change waits: %s", waitsFor(r.At, g))
	default:
		say("it is up to date with the database as of %s", r.Applied)
	}
	if s := w.Streams; s != nil && s.Writing > 0 {
		say("slow client: %d of %d streams still take an older result", s.Writing, s.Streams)
	} else if s != nil && s.Behind > 0 && !r.Held {
		say("%d of %d streams are about to be sent the newest result", s.Behind, s.Streams)
	}
	for _, open := range w.Open {
		say("%s", open)
	}
	if g != nil && len(w.Changes) == 0 && w.Capture.Healthy {
		say("no change of what it reads has reached the log of database %s since it is watched: has the transaction committed, and in this database?", database)
	}
	if !r.Lost.IsZero() && g != nil && r.At.Sub(r.Lost).Minutes() < 5 {
		say("changes were lost %s ago (a restart, or another history): every result ran again then", roughly(r.At.Sub(r.Lost)))
	}
}

func (w *Why) state(r *reactor.Report) string {
	asked := !r.At.IsZero() // else nobody of the tenant has subscribed yet
	for _, d := range r.Decisions {
		asked = asked && d.Known
	}
	g := r.Group
	switch {
	case r.Answer == reactor.Deny:
		return "denied"
	case !asked, g == nil && r.Answer == reactor.Allow && r.Undecided == nil:
		return "nobody"
	case r.Answer == reactor.Unknown || r.Undecided != nil:
		return "undecided"
	case r.Held:
		return "held"
	case g.Err != nil && g.Failures > 0:
		return "failing"
	case g.Status != reactor.Live:
		return "stale"
	case g.Running:
		return "running"
	case g.Dirty:
		return "queued"
	}
	return "live"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func sortedValues(m map[uint32]string) (list []string) {
	for _, text := range m {
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}
