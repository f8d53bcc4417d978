// Package reactor decides which live queries a change invalidates and when to
// run them again.
//
// It is pure: it opens no connection, runs no wasm and knows no HTTP. Changes
// come in through Apply, functions are run by an Executor, results leave as
// publications, one per group, that writers read.
//
// # Promises
//
//   - W1: a change that is not visible in a result's snapshot and concerns its
//     read set leads to another execution. Dirty is state, not an event: an
//     error or a timeout leaves the group dirty, with back-off.
//   - W2: a subscription sees results in snapshot order. A cached result is
//     joined only if it is known to cover the client's stamp (F6).
//   - W3: a group has at most one execution in flight; N subscribers cost one
//     execution and one encoding.
//   - W4: a group is found by its full key, byte for byte (F13).
//   - W5: a result is shown only when every policy that guards it is known to
//     allow, at a snapshot at which it was the result. A policy that fails is
//     unknown: nothing is shown, and that is said.
//   - W6: recent changes, waves, executions and set sizes have limits in Config.
//   - W9: a group that cannot be kept fresh says so in its publication.
//
// # Shape
//
// A core is one tenant's state machine: groups, index, recent changes, schedule.
// It has no clock: every input carries the time. It has no goroutine: its
// outputs are collected and handed out by whoever drives it. The loop drives
// all cores round robin in slices of a tenth of a millisecond (F8), starts waves
// of executions, and tells the owner of the writers which publications changed.
// What a core has not been told yet waits in its backlog: each goes through the
// log in its own time, passing over tables that its groups do not read, and one
// that cannot keep up is told that changes were lost (backlog.go).
//
// A policy's decision is a group like a query's result: keyed, shared, with a read
// set, run again when what it read changes. A subscription joins its policies
// first, and when they allow, the group of its function, whose key may hold what
// they put into the scope. Between the two stands the fence (fence.go): results
// and decisions each hold for a span of snapshots (span.go), and one is shown
// when the spans meet. Spans are open at the end while nothing concerns them, and
// one mark in the core, moved with the log, lengthens all of them at once; so a
// commit costs nothing for the decisions that it does not concern.
//
//	Apply ──► core.apply ──► index ──► group.invalidate ──► schedule
//	                                                          │
//	publication ◄── core.finish ◄── Executor.Execute ◄── wave ┘
//
// A result is encoded once, as a frame (frame.go). If a stream asked for deltas, each
// frame keeps of up to eight versions before it the keys and digests of their rows
// (rows.go), and makes of them, once for all streams, what leads from one of these
// versions to its own (delta.go). A delta does not pass through the versions between:
// they may have been of a time in which who gets it had no access (W5).
//
// Who wants to know why a result did or did not change asks (ask.go): the loop
// copies what is known of it (report.go, noted.go), and what became of a change is
// found out by who asked (fate.go). Nothing is decided by what is kept for that.
//
// # Ownership
//
// One loop goroutine owns every core. All other goroutines talk to it through
// Apply, Subscribe, Leave and the results of executions. Publications are
// written by the loop and read by any number of writers without a lock. The
// loop never waits for I/O, a guest, a socket or a lock held by one of them, and
// does nothing per delivery (F9): it publishes per group, and writers ask the
// fence when they write.
//
// # What it does not do
//
// It does not read the change log (package changelog), run functions and policies
// (the host's executor), know which policies guard what (host/policy), or write
// frames (host/serve).
package reactor
