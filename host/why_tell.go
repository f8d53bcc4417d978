package host

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/reactor"
	"weir/reactor/changelog"
)

// teller puts what the reactor says into words: it knows the names of tables and
// columns, and which values may be told.
type teller struct {
	tables map[uint32]changelog.Table
	schema string // the tenant's
	alone  bool   // there is no other tenant
	open   bool   // weir dev: nothing is anybody's secret
	others bool   // who asks is not who watches: texts may be the callers' own
	now    time.Time
}

func (h *Host) teller(s *space) *teller {
	return &teller{
		tables: h.capture.Tables(), schema: cmp.Or(s.tenant.Schema, "public"), alone: len(h.spaces()) == 1,
		open: h.cfg.Dev, now: time.Now(),
	}
}

func (t *teller) table(oid uint32) string {
	if known, ok := t.tables[oid]; ok {
		return strings.TrimPrefix(known.Name, "public.")
	}
	return fmt.Sprintf("table %d", oid)
}

func (t *teller) column(table uint32, column uint16) (string, reactor.Kind) {
	c, ok := t.tables[table].Columns[column]
	if !ok {
		return fmt.Sprintf("column %d", column), reactor.KindNone
	}
	return c.Name, c.Kind
}

// mayTell decides which values of changed rows are told. Texts may be anything,
// also tokens and letters; and a table that tenants share has other tenants' rows.
// What the result itself depends on came from whoever asked.
func (t *teller) mayTell(table uint32, kind reactor.Kind) bool {
	if t.open {
		return true
	}
	own := t.alone || strings.HasPrefix(t.tables[table].Name, t.schema+".") || strings.HasPrefix(t.tables[table].Name, `"`+t.schema+`".`)
	return own && kind != reactor.KindText && kind != reactor.KindBytes
}

// maxTold bounds the values that a sentence names, and their length.
const (
	maxTold       = 3
	maxToldLength = 48
)

func (t *teller) value(kind reactor.Kind, v reactor.Value) string {
	text, ok := v.Text(kind)
	if !ok {
		return "a value"
	}
	if len(text) > maxToldLength {
		text = strings.ToValidUTF8(text[:maxToldLength], "") + "…"
	}
	if kind == reactor.KindText {
		return strconv.Quote(text)
	}
	return text
}

func (t *teller) wanted(table uint32, column uint16, values []reactor.Value) string {
	_, kind := t.column(table, column)
	var list []string
	for i, v := range values {
		if i == maxTold {
			list = append(list, fmt.Sprintf("%d more", len(values)-maxTold))
			break
		}
		if t.others && !t.open && kind != reactor.KindInt && kind != reactor.KindBool && kind != reactor.KindEnum {
			list = append(list, "a value of the caller's")
			break
		}
		list = append(list, t.value(kind, v))
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// got says what a changed row has, as far as it may be told.
func (t *teller) got(table uint32, column uint16, data []reactor.Datum) string {
	_, kind := t.column(table, column)
	var list []string
	for i, d := range data {
		switch {
		case i == maxTold:
			return strings.Join(append(list, "others"), ", ")
		case d.Null:
			list = append(list, "null")
		case !t.mayTell(table, kind):
			return "another value"
		default:
			list = append(list, t.value(kind, d.Value))
		}
	}
	if len(list) == 0 {
		return "another value"
	}
	return strings.Join(list, ", ")
}

var comparisons = map[reactor.Comparison]string{
	reactor.Less: "<", reactor.LessEqual: "<=", reactor.Greater: ">", reactor.GreaterEqual: ">=",
	reactor.IsNull: "is null", reactor.NotNull: "is not null",
}

// atom says what of a table is read.
func (t *teller) atom(a *reactor.Atom) string {
	var conditions []string
	for i := range a.Eq {
		e := &a.Eq[i]
		name, _ := t.column(a.Table, e.Column)
		if len(e.Values) == 1 {
			conditions = append(conditions, name+" = "+t.wanted(a.Table, e.Column, e.Values))
		} else {
			conditions = append(conditions, fmt.Sprintf("%s any of %s", name, t.wanted(a.Table, e.Column, e.Values)))
		}
	}
	for i := range a.Where {
		c := &a.Where[i]
		name, _ := t.column(a.Table, c.Column)
		text := name + " " + comparisons[c.Op]
		if c.Op != reactor.IsNull && c.Op != reactor.NotNull {
			text += " " + t.wanted(a.Table, c.Column, []reactor.Value{c.Value})
		}
		conditions = append(conditions, text)
	}
	text := t.table(a.Table)
	if len(conditions) > 0 {
		text += " where " + strings.Join(conditions, " and ")
	} else {
		text += ", any row"
	}
	return text + t.columns(a)
}

func (t *teller) columns(a *reactor.Atom) string {
	if a.Columns == nil {
		return ""
	}
	var names []string
	for attr, c := range t.tables[a.Table].Columns {
		if a.Columns.Has(attr) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return "; columns " + strings.Join(names, ", ")
}

// miss says why a change did not match.
func (t *teller) miss(table uint32, m *reactor.Miss) string {
	if m.Column == 0 {
		return "it had no row"
	}
	name, _ := t.column(table, m.Column)
	switch m.Op {
	case 0:
		return fmt.Sprintf("%s is %s, the query reads %s", name, t.got(table, m.Column, m.Got), t.wanted(table, m.Column, m.Want))
	case reactor.IsNull, reactor.NotNull:
		return fmt.Sprintf("%s is %s, the query reads rows where it %s", name, t.got(table, m.Column, m.Got), comparisons[m.Op])
	}
	return fmt.Sprintf("%s is %s, the query reads %s %s", name, t.got(table, m.Column, m.Got), comparisons[m.Op], t.wanted(table, m.Column, m.Want))
}

// fate says what became of a change for one read set. Empty: it was not read.
func (t *teller) fate(n *reactor.Noted, v reactor.Verdict, g *reactor.GroupReport) string {
	switch v.Fate {
	case reactor.Elsewhere:
		var why []string
		for i := range v.Misses {
			if text := t.miss(n.Change.Table, &v.Misses[i]); !slices.Contains(why, text) && len(why) < maxTold {
				why = append(why, text)
			}
		}
		return "no match: " + strings.Join(why, "; ")
	case reactor.OtherColumns:
		return "no match: it changed only columns that the query does not read"
	case reactor.TakenIn:
		if v.Run == nil {
			return "it is in the result; the run that took it in is not remembered"
		}
		text := "ran " + roughly(v.Run.Cost)
		if v.Run.Waited > 20*time.Millisecond {
			text += " after " + roughly(v.Run.Waited)
		}
		return text + ", " + outcomeText(v.Run)
	case reactor.Initial:
		return "it was in the first result already"
	case reactor.InFlight:
		return "it is being run now"
	case reactor.Pending:
		return waitsFor(t.now, g)
	}
	return ""
}

// waitsFor says what a dirty group waits for.
func waitsFor(now time.Time, g *reactor.GroupReport) string {
	switch {
	case g.Failures > 0 && g.Err != nil:
		return fmt.Sprintf("the run failed (%d times): %s; tried again in %s", g.Failures, g.Err, roughly(max(0, g.Due.Sub(now))))
	case g.Ready:
		return "it is due and waits for a free execution"
	case g.Due.After(now):
		return fmt.Sprintf("it runs in %s: changes come faster than it runs", roughly(g.Due.Sub(now)))
	}
	return "it runs in a moment"
}

func outcomeText(p *reactor.Past) string {
	switch {
	case p.Err != nil:
		return "failed: " + p.Err.Error()
	case p.Answer != reactor.Unknown && p.Same:
		return p.Answer.String() + " as before"
	case p.Answer != reactor.Unknown:
		return p.Answer.String()
	case p.Same:
		return "same result"
	}
	return fmt.Sprintf("new result, %d bytes", p.Size)
}

func outcomeWord(p *reactor.Past) string {
	switch {
	case p.Err != nil:
		return "failed"
	case p.Answer != reactor.Unknown:
		return p.Answer.String()
	case p.Same:
		return "same"
	}
	return "frame"
}

// cause says why something ran.
func (t *teller) cause(p *reactor.Past) string {
	text := p.Reason.String()
	if p.XID == 0 {
		return text
	}
	if p.Table != 0 {
		text += ": " + p.Op.String() + " " + t.table(p.Table)
	}
	text += fmt.Sprintf(" (tx %d)", p.XID)
	if p.More > 0 {
		text += fmt.Sprintf(" and %d more", p.More)
	}
	return text
}

func (t *teller) run(p *reactor.Past) WhyRun {
	r := WhyRun{
		Watchers: p.Subscribers, AgoMS: millisOf(t.now.Sub(p.At)), Cause: t.cause(p), WaitedMS: millisOf(p.Waited),
		CostMS: millisOf(p.Cost), Outcome: outcomeWord(p), Text: outcomeText(p),
	}
	if p.Version != (reactor.Version{}) {
		r.Version = p.Version.String()
	}
	return r
}

// report fills in what the reactor told.
func (t *teller) report(w *Why, r *reactor.Report) {
	if g := r.Group; g != nil {
		w.Group, w.Watchers, w.Runs, w.SpentMS, w.Bytes = g.Query, g.Subscriptions, g.Runs, millisOf(g.Spent), g.Size
		if g.Answered {
			w.Snapshot = g.Snapshot.String()
		}
		if g.Answered && !g.Policy {
			w.Version = g.Version.String()
		}
	}
	t.reads(w, "", &r.Reads)
	for i := range r.Decisions {
		d := &r.Decisions[i]
		w.Policies = append(w.Policies, t.policy(d))
		t.reads(w, d.Name, &d.Reads)
	}
	for i := range r.Changes {
		w.Changes = append(w.Changes, t.change(r, &r.Changes[i]))
	}
	slices.SortStableFunc(w.Changes, func(a, b WhyChange) int { return cmp.Compare(a.AgoMS, b.AgoMS) })
	if d := r.Defined; d != nil {
		w.Changes = append(w.Changes, WhyChange{
			Tx: d.Change.XID, AgoMS: millisOf(t.now.Sub(d.At)), Op: "ddl", Table: t.ddlTable(d.Change.Table), Fate: "defined",
			Text: "a definition changed: every result runs again",
		})
	}
	for i := range r.Runs {
		w.Past = append(w.Past, t.run(&r.Runs[i]))
	}
}

func (t *teller) ddlTable(oid uint32) string {
	if oid == 0 {
		return ""
	}
	return t.table(oid)
}

func (t *teller) reads(w *Why, policy string, set *reactor.ReadSet) {
	for i := range set.Atoms {
		a := &set.Atoms[i]
		w.Reads = append(w.Reads, WhyRead{Policy: policy, Table: t.table(a.Table), Text: t.atom(a)})
	}
}

func (t *teller) policy(d *reactor.DecisionReport) WhyPolicy {
	p := WhyPolicy{Name: d.Name, Answer: d.Answer.String(), Text: d.Reason}
	switch {
	case !d.Known:
		p.Text = "it has not been asked: nobody with this access watches"
	case d.Err != nil:
		p.Text = "it decides nothing: " + d.Err.Error()
	case d.Group.Running || d.Group.Dirty:
		p.Text = "it is being asked again"
	}
	return p
}

// change tells of one change. What matters for a decision is told too.
func (t *teller) change(r *reactor.Report, n *reactor.Noted) WhyChange {
	c := WhyChange{
		Tx: n.Change.XID, AgoMS: millisOf(t.now.Sub(n.At)), Op: n.Change.Op.String(), Table: t.table(n.Change.Table),
	}
	var texts []string
	if r.Group != nil {
		v := r.Verdict(n)
		c.Fate = word(v)
		if text := t.fate(n, v, r.Group); text != "" {
			if v.Fate == reactor.TakenIn && r.Held {
				c.Fate = "fenced"
				text += "; fenced by " + strings.Join(r.By, ", ")
			}
			texts = append(texts, text)
		}
	}
	for i := range r.Decisions {
		d := &r.Decisions[i]
		if !d.Known {
			continue
		}
		v := d.Verdict(n)
		if c.Fate == "" {
			c.Fate = word(v)
		}
		if text := t.fate(n, v, &d.Group); text != "" {
			texts = append(texts, d.Name+": "+strings.Replace(text, "the query reads", "the policy reads", 1))
		}
	}
	if r.Answer == reactor.Deny && c.Fate != "no_match" {
		c.Fate = "denied"
	}
	c.Text = strings.Join(texts, "; ")
	return c
}

func word(v reactor.Verdict) string {
	switch v.Fate {
	case reactor.Elsewhere, reactor.OtherColumns:
		return "no_match"
	case reactor.TakenIn, reactor.Initial:
		if v.Run != nil && v.Run.Same {
			return "same"
		}
		return "shown"
	case reactor.InFlight:
		return "running"
	case reactor.Pending:
		return "pending"
	}
	return ""
}
