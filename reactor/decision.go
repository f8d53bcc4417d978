package reactor

import "maps"

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

// Decision is a policy's answer, read at a snapshot. GoodThrough is the newest
// snapshot at which it is known to hold: the snapshot it was read at, advanced
// while no applied change concerns it (F1).
//
// Decisions are taken at each subscribe and call; they become groups of their
// own, live like every query, with the fence that compares GoodThrough with a
// result's snapshot.
type Decision struct {
	Answer      Answer
	Policy      string // which policy said so
	Reason      string // for the client; may be empty
	Scope       Scope
	GoodThrough Snapshot
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
				return Decision{Answer: Deny, Policy: d.Policy, Reason: "policies disagree about " + field}
			}
			if merged.Scope == nil {
				merged.Scope = Scope{}
			}
			merged.Scope[field] = value
		}
		if !d.GoodThrough.Covers(merged.GoodThrough) {
			merged.GoodThrough = d.GoodThrough
		}
	}
	return merged
}
