package db

import (
	"strconv"
	"strings"
)

// topLimit is the LIMIT of the statement itself, as its text says it: a plan shows
// that there is one, and not how many rows it lets through.
type topLimit struct {
	stands bool // the plan has one
	known  bool // as count, or as the parameter param
	count  int64
	param  int // -1: it is count
	offset bool
}

// findLimit reads the LIMIT of a plan out of the statement's text.
func findLimit(plan *planNode, text string) topLimit {
	l := topLimit{stands: plan.str("Node Type") == "Limit", param: -1}
	if !l.stands {
		return l
	}
	ts := tokenize(text)
	word := func(i int, w string) bool {
		return i >= 0 && i < len(ts) && ts[i].kind == tokenWord && !ts[i].quoted && strings.EqualFold(ts[i].text, w)
	}
	at, found := 0, 0
	outside(ts, func(i int) {
		if word(i, "limit") {
			at, found = i+1, found+1
		}
		l.offset = l.offset || word(i, "offset")
	})
	if found != 1 || at >= len(ts) || at+1 < len(ts) && !word(at+1, "offset") || word(at-2, "as") || at >= 2 && ts[at-2].is(".") {
		return l
	}
	n, err := strconv.ParseInt(ts[at].text, 10, 32)
	switch {
	case err != nil || n < 1:
	case ts[at].kind == tokenParam:
		l.known, l.param = true, int(n-1)
	case ts[at].kind == tokenNumber && strings.Trim(ts[at].text, "0123456789") == "":
		l.known, l.count = true, n
	}
	return l
}

// outcome is what the rows of one execution say about its read set.
type outcome struct {
	rows  *Rows
	lists []*Rows
	whole bool // LIMIT cut nothing off
	full  bool // there are as many rows as LIMIT lets through
}

func (l *topLimit) outcome(rows *Rows, lists []*Rows, args []argument) outcome {
	o := outcome{rows: rows, lists: lists, whole: !l.stands}
	if !l.stands || !l.known || rows == nil {
		return o
	}
	most := l.count
	if l.param >= 0 {
		if l.param >= len(args) || !args[l.param].canonical {
			return o
		}
		n, ok := args[l.param].value.Int()
		if !ok {
			return o
		}
		most = n
	}
	o.whole = int64(rows.count) < most && !l.offset
	o.full = int64(rows.count) == most && rows.count > 0
	return o
}
