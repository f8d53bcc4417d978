package reactor

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Answer is what a policy says.
type Answer uint8

// The answers. Unknown is the zero value: a policy that trapped, timed out or
// erred has decided nothing, and nothing is delivered (F4). Only an evaluated
// deny denies.
const (
	Unknown Answer = iota
	Allow
	Deny
)

// String returns the answer in lower case.
func (a Answer) String() string {
	switch a {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return "unknown"
}

// Scope is what policies add to the input of the function that they guard: by
// field, the value's deterministic encoding. Scopes are compared by bytes.
type Scope map[string]string

// text returns the scope as a text that no other scope has; "" for an empty one.
func (s Scope) text() string {
	if len(s) == 0 {
		return ""
	}
	var b strings.Builder
	for _, field := range slices.Sorted(maps.Keys(s)) {
		for _, part := range [...]string{field, s[field]} {
			b.WriteString(strconv.Itoa(len(part)))
			b.WriteByte(':')
			b.WriteString(part)
		}
	}
	return b.String()
}

// Decision is a policy's answer. It is a group like any other: keyed, shared, and
// run again when what it read changes. When it holds, its standing says.
type Decision struct {
	Answer Answer
	Policy string // which policy said so
	Reason string // for the client; may be empty
	Scope  Scope
}

// MergeDecisions returns what several policies say together: all must allow.
// Deny beats unknown, because it is known. Scopes merge; two values for one
// field contradict each other and deny. Without any decision nothing is allowed.
func MergeDecisions(decisions ...Decision) Decision {
	var merged Decision
	for i, d := range decisions {
		switch {
		case d.Answer == Deny:
			return d
		case i == 0:
			merged = d
			merged.Scope = maps.Clone(d.Scope)
			continue
		case d.Answer == Unknown:
			if merged.Answer == Allow {
				merged = d
			}
			continue
		case merged.Answer == Unknown:
			continue
		}
		for field, value := range d.Scope {
			if other, set := merged.Scope[field]; set && other != value {
				return conflict(decisions)
			}
			if merged.Scope == nil {
				merged.Scope = Scope{}
			}
			merged.Scope[field] = value
		}
	}
	return merged
}

// conflict is the denial of scopes that contradict each other, unless somebody
// denies. It names the first field, so that the same callers are told the same.
func conflict(decisions []Decision) Decision {
	seen := Scope{}
	var at struct{ field, policy string }
	for _, d := range decisions {
		if d.Answer == Deny {
			return d
		}
		for field, value := range d.Scope {
			other, set := seen[field]
			if set && other != value && (at.field == "" || field < at.field) {
				at.field, at.policy = field, d.Policy
			}
			if !set {
				seen[field] = value
			}
		}
	}
	return Decision{Answer: Deny, Policy: at.policy, Reason: "policies disagree about " + at.field}
}

// standing is a decision as it is published: the answer, and the span of
// snapshots for which it is known, whose end is the good-through of F1.
type standing struct {
	Decision
	err   error // why the answer is unknown
	scope string
	span  span
	// timeless: the policy read no table, so that no commit can change its
	// answer and the fence need not ask when it was given.
	timeless bool
}

// same reports whether there is nothing to tell between the two.
func (s *standing) same(t *standing) bool {
	return s.Answer == t.Answer && s.Reason == t.Reason && s.scope == t.scope && s.err == t.err &&
		s.timeless == t.timeless
}

// publishDecision makes a policy's standing public. An answer that cannot be
// kept fresh is unknown, by the rule of stale results; one that read no table is
// not concerned by the change log.
func (c *core) publishDecision(g *group) {
	status, err := c.status(g)
	next := &standing{Decision: g.decision, scope: g.decision.Scope.text(), span: g.span, timeless: g.timeless()}
	if status != Live && (err != ErrBehind || !next.timeless) {
		next.Decision = Decision{Policy: g.name}
		next.err, next.scope = err, ""
	}
	next.Policy = cmp.Or(next.Policy, g.name)
	last := g.pub.standing.Load()
	g.pub.standing.Store(next)
	if last == nil || !last.same(next) {
		c.out.published = append(c.out.published, &g.pub)
	}
}

// timeless reports whether a policy's answer depends on no table.
func (g *group) timeless() bool { return g.answered && len(g.reads.Atoms) == 0 }

// judge takes a policy's answer. The span begins with this read: what was between
// it and the one before is not known. But a policy that looks at rows does so in a
// transaction of its own, never at the snapshot of the results that it guards, and
// those would starve behind it while both are hot; they are shown when the policy
// allowed before and after them (W5).
func (c *core) judge(g *group, d Decision) {
	before := g.pub.standing.Load()
	from := g.finished
	if before != nil && before.Answer == Allow && d.Answer == Allow && before.scope == d.Scope.text() &&
		g.finished.reaches(before.span.from) && !g.together() {
		from = before.span.from
	}
	g.decision, g.answered = d, true
	g.span = span{from: from, to: g.finished}
}
