// Package faults proves that weir recovers without a person: the real binary on a
// PostgreSQL that the tests kill, stop, fill and cut off, with clients that come
// back as the protocol says, and an application that keeps writing.
//
// # What is judged after each fault
//
//   - I1: every subscription of every client shows what PostgreSQL answers (W1).
//   - I2: nobody was shown what was denied at its time (W5): what is written while
//     a user is shut out has a word in it that his clients must never read.
//   - I3: every call with an idempotency key that was answered ran once, and none
//     ran twice.
//   - I4: what a subscription shows never goes back, across reconnects too (W2),
//     unless the database has lost the commits.
//   - I5: descriptors, goroutines and memory of weir are what they were (W6).
//   - I6: weir has not ended by itself, its log has no bug, its children have
//     ended with it, and no EventSource was answered so that it gives up.
//   - W9: a fault that outlasts max_stale is told as stale.
//
// How long the recovery took is told in a table at the end, and in
// $WEIR_ARTIFACTS/faults.md; it is never a condition.
//
// # How long it runs
//
// Without WEIR_FAULTS only the likeliest happen, once: kill -9 of weir, of a
// backend, of the postmaster. WEIR_FAULTS=N is N rounds of everything.
//
// # Ownership
//
// A world belongs to its test: a cluster, weir as a process, wires, clients,
// writers. All of them end with it.
//
// # What it does not do
//
// It knows weir by its binary and the wire only, so that it shares no mistake with
// it. Clocks are not stepped: that would be the machine's.
package faults
