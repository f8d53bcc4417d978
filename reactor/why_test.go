package reactor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// why is what is told to somebody who asks about a subscription.
func (s *script) why(name string) string {
	var r Report
	s.core.tell(s.now, &s.subs[name].asking.req, &r)
	var out []string
	for i := range r.Decisions {
		d := &r.Decisions[i]
		text := "nobody asks"
		if d.Known {
			text = d.Answer.String()
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("policy %s: %s %s", d.Name, text, d.Reason)))
	}
	if r.Group == nil {
		return strings.Join(append(out, "no group"), "\n")
	}
	state := "idle"
	switch {
	case r.Group.Running:
		state = "running"
	case r.Group.Dirty:
		state = "dirty"
	}
	line := fmt.Sprintf("%s %s, %d watch, %s", s.name(r.Group.Query), state, r.Group.Subscriptions, r.Group.Status)
	if r.Held {
		line += ", held by " + strings.Join(r.By, ", ")
	}
	out = append(out, line)
	for i := range r.Changes {
		out = append(out, "  "+s.fate(&r, &r.Changes[i]))
	}
	return strings.Join(out, "\n")
}

func (s *script) fate(r *Report, n *Noted) string {
	v := r.Verdict(n)
	if v.Fate == 0 {
		return fmt.Sprintf("%d %s %s: not read", n.Change.XID, n.Change.Op, s.tableName(n.Change.Table))
	}
	text := fmt.Sprintf("%d %s %s: %s", n.Change.XID, n.Change.Op, s.tableName(n.Change.Table), v.Fate)
	for _, m := range v.Misses {
		var got, want []string
		for _, d := range m.Got {
			got = append(got, fmt.Sprint(number(d.Value)))
		}
		for _, w := range m.Want {
			want = append(want, fmt.Sprint(number(w)))
		}
		text += fmt.Sprintf(", %s is %s, reads %d:%s", s.columnName(m.Column), strings.Join(got, "|"), m.Op, strings.Join(want, "|"))
	}
	if v.Run != nil {
		text += fmt.Sprintf(" by a run of %s", v.Run.Cost)
		if v.Run.Same {
			text += ", same"
		}
	}
	return text
}

func number(v Value) int64 {
	if len(v) != 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64([]byte(v)) ^ 1<<63)
}

func (s *script) tableName(oid uint32) string {
	for name, n := range s.tables {
		if n == oid {
			return name
		}
	}
	return "?"
}

func (s *script) columnName(column uint16) string {
	for name, n := range s.cols {
		if n == column {
			return name
		}
	}
	return "?"
}

// TestNotedChangesDoNotKeepTheirBatch: W6. What is kept for those who ask is a few
// changes of each table, with a few rows each, whatever came.
func TestNotedChangesDoNotKeepTheirBatch(t *testing.T) {
	t.Parallel()
	var n noted
	for i := range 10 * notedChanges {
		c := &Change{XID: uint64(i), Table: 1, Op: Insert}
		for j := range 1000 {
			c.Keys = append(c.Keys, Tuple{{Column: 1, Value: IntValue(int64(j))}})
		}
		n.add(time.Unix(int64(i), 0), c)
	}
	list := n.appendTo(nil)
	if len(list) != notedChanges || list[0].Change.XID != 10*notedChanges-1 || list[len(list)-1].Change.XID != 9*notedChanges {
		t.Errorf("%d changes are kept, from %d to %d", len(list), list[len(list)-1].Change.XID, list[0].Change.XID)
	}
	for _, kept := range list {
		if len(kept.Change.Keys) != notedRows || cap(kept.Change.Keys) > 2*notedRows || kept.Rows != 1000 {
			t.Fatalf("%d rows of %d are kept, in room for %d", len(kept.Change.Keys), kept.Rows, cap(kept.Change.Keys))
		}
	}
}

// TestAskingIsDoneByTheLoop: a running Reactor tells of one group, lists those
// that there are in slices, and makes none for who only asks.
func TestAskingIsDoneByTheLoop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d := newLiveDB(t)
	r, stop := d.start(Config{Seed: 1, Resync: -1})
	if err := r.Apply(ctx, d.batch()); err != nil {
		t.Fatal(err)
	}
	const groups = 3 * groupsAtOnce
	for list := range groups {
		ready := make(chan struct{})
		for range 1 + list%2 { // odd ones have two watchers
			req := d.request("a", list)
			req.Ready = func(*Subscription) { ready <- struct{}{} }
			r.Subscribe(req)
		}
		if err := r.Apply(ctx, d.batch()); err != nil {
			t.Fatal(err)
		}
		for range 1 + list%2 {
			<-ready
		}
	}
	report, err := r.Ask(ctx, d.request("a", groups-1))
	if err != nil || report.Group == nil || report.Group.Subscriptions != 2 || len(report.Reads.Atoms) != 1 || len(report.Runs) == 0 {
		t.Fatalf("report of the last: %+v, %v", report, err)
	}
	named, err := r.AskGroup(ctx, "a", report.Group.Query)
	if err != nil || named.Group == nil || named.Group.Name != report.Group.Name {
		t.Errorf("report of the group %s: %+v, %v", report.Group.Query, named.Group, err)
	}
	for _, tenant := range []string{"a", "b"} { // nobody of b ever came
		report, err := r.Ask(ctx, d.request(tenant, groups+1))
		if err != nil || report.Group != nil {
			t.Errorf("a result that nobody watches: %+v, %v", report.Group, err)
		}
	}
	list, err := r.Groups(ctx, "", ByWatchers, 5)
	if err != nil || len(list) != 5 || list[0].Subscriptions != 2 || list[4].Subscriptions != 2 {
		t.Errorf("the first groups: %+v, %v", list, err)
	}
	all, err := r.Groups(ctx, "a", ByCost, groups+10)
	if err != nil || len(all) != groups {
		t.Errorf("%d groups are listed of %d, %v", len(all), groups, err)
	}
	if runs, err := r.Runs(ctx, "", 10); err != nil || len(runs) != 10 || runs[0].At.Before(runs[9].At) {
		t.Errorf("the newest runs: %d, %v", len(runs), err)
	}
	if n := r.Stats().Groups; n != groups {
		t.Errorf("there are %d groups, %d were subscribed", n, groups)
	}
	stop()
	if _, err := r.Ask(ctx, d.request("a", groups-1)); !errors.Is(err, ErrClosed) {
		t.Errorf("asking one that has ended: %v", err)
	}
}
