package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"weir/reactor"
)

// maxLists bounds how many statements are run beside one to narrow its read set.
const maxLists = 2

// keyList is a statement that lists the keys by which a join finds the rows of a
// table, where the result does not show them (see doc.go, "What a result says of
// its tables"). It runs behind the statement itself, at the same snapshot.
type keyList struct {
	key    *tableColumn // of the table that is found
	column string       // that is listed, with its table, for people
	text   string
	source atomPlan // what it reads: an atom of the statement too
	// listed is what EXPLAIN made of the text, nil until it was asked.
	listed *analysis
}

// list returns the keys that one table of a join holds of the other, if each row of
// it that counts meets conditions on parameters that are all understood: it is
// then those rows that are listed, and every change of them is noticed.
func (w *narrower) list(n, join *planNode) (*keyList, string) {
	alias, kind, side := n.str("Alias"), join.str("Join Type"), n.side(join)
	switch {
	case w.tables[alias] == nil:
		return nil, "it has partitions or children, or is one"
	case w.view != "":
		return nil, "the view " + w.view + " is between"
	case kind == "Inner", (kind == "Left" || kind == "Semi" || kind == "Anti") && side == "Inner",
		(kind == "Right" || kind == "Right Semi" || kind == "Right Anti") && side == "Outer": // PostgreSQL 18 and 16 turn those round too
	default:
		return nil, "the join keeps rows of it that find no other"
	}
	why := "no table with a condition on a parameter says which rows are joined"
	for _, ts := range w.conditions(join, alias) {
		left, right, ok := equality(ts)
		if !ok {
			continue
		}
		for _, s := range [2][2][]token{{left, right}, {right, left}} {
			key, from, source := w.equals(alias, s[0], s[1])
			if key == nil || !inside(join, source) {
				continue
			}
			l := &keyList{key: key, column: w.tables[source].label() + "." + from.name}
			if why = w.fill(l, source, from); why == "" {
				return l, ""
			}
		}
	}
	return nil, why
}

// fill writes the text of a list, or says why there is none.
func (w *narrower) fill(l *keyList, alias string, from *tableColumn) string {
	var scan *planNode
	w.plan.walk(func(n *planNode) {
		if n.isScan() && n.str("Alias") == alias {
			scan = n
		}
	})
	rd := w.reader
	rd.alias, rd.table = alias, w.tables[alias]
	l.source = rd.atom(scan)
	bound, _ := w.bound(scan)
	switch {
	case len(l.source.equal) == 0:
		return rd.table.label() + " has no condition on a parameter either"
	case len(l.source.unread) > 0 || bound != nil:
		return "not all conditions on " + rd.table.label() + " are understood"
	}
	l.text = fmt.Sprintf("select distinct %s.%s from %s.%s %[1]s where %[5]s limit %[6]d",
		quoted(alias), quoted(from.name), quoted(rd.table.schema), quoted(rd.table.name), scan.str("Filter"), reactor.MaxSet+1)
	return ""
}

// quoted returns a name as an identifier.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// list has EXPLAIN say that the lists of an analysis read what they should. One
// that does not is left out.
func (d *DB) list(ctx context.Context, a *analysis) error {
	for i := range a.atoms {
		p := &a.atoms[i]
		if p.list == nil {
			continue
		}
		why := "too many of them"
		if len(a.lists) < maxLists {
			listed, err := d.analyse(ctx, origin{text: p.list.text, kind: Read, now: -1, oids: a.oids})
			switch {
			case err != nil && !errors.Is(err, ErrRefused):
				return err
			case err != nil:
				why = err.Error()
			default:
				p.list.listed, why = listed, p.list.doubt(listed)
			}
		}
		if why != "" {
			p.unread = append(p.unread, "a list of keys: "+why)
			p.list = nil
			continue
		}
		a.lists = append(a.lists, p.list.listed)
		p.keys = &resultKeys{column: p.list.key, list: len(a.lists), name: p.list.column}
		p.columns = p.columns.With(p.list.key.attr)
	}
	return nil
}

// doubt returns why the list may hold less than the keys of its source's rows, or
// nothing. Row level security, say, may stand for one and not for the other.
func (l *keyList) doubt(listed *analysis) string {
	if len(listed.atoms) != 1 || len(listed.columns) != 1 || len(listed.lists) > 0 {
		return "it reads something else"
	}
	atom := &listed.atoms[0]
	if atom.table.oid != l.source.table.oid || len(atom.unread) > 0 || atom.keys != nil || atom.bound != nil ||
		!slices.EqualFunc(atom.equal, l.source.equal, sameCondition) || !slices.EqualFunc(atom.where, l.source.where, sameCondition) {
		return "its conditions are others"
	}
	return ""
}

func sameCondition(a, b condition) bool {
	return a.column.attr == b.column.attr && a.op == b.op && a.from.set == b.from.set &&
		slices.Equal(a.from.params, b.from.params) && slices.Equal(a.from.values, b.from.values)
}
