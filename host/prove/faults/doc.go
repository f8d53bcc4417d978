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
// Without WEIR_FAULTS only the likeliest happen, once: kill -9 of weir, of the log
// reader's backend, of one of the plugins' SQL, of the postmaster. WEIR_FAULTS=N is
// N rounds of everything:
//
//   - TestFaultsHeal: the list in faults_test.go, one after the other, in one world:
//     processes killed and stopped, wires holed, reset, slow, connections taken,
//     plugins swapped, children killed;
//   - TestCommitsThatWereSeenAreLost: synchronous_commit=off (C4);
//   - TestFailoverToALaggingStandby: the old primary dead, or alive behind some of
//     weir's connections;
//   - TestOutOfDescriptors, TestMemoryIsShort, TestDiskFull (needs root, to mount a
//     tmpfs), TestDatabaseClockSteps (needs cc).
//
// # Ownership
//
// A world belongs to its test: a cluster, weir as a process, wires, clients,
// writers. All of them end with it.
//
// # What it does not do
//
// It knows weir by its binary and the wire only, so that it shares no mistake with
// it. weir's own clock is not stepped, because Go asks the kernel for it, and the
// machine's is not ours: the core takes the time from its driver, and tests of the
// reactor move it. Slow fsync is not made: a lagging wire and stopped writers of the
// database stand for it.
package faults
