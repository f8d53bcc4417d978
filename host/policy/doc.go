// Package policy decides who may call what.
//
// Every function states its access: policies, signed_in or public; the
// configuration can require more policies for a pattern. A Guard collects the
// answers of all of them and merges them: all must allow, scopes merge, a
// conflict denies.
//
// # Promises
//
//   - W5: nothing is allowed without an evaluated allow. A policy that traps,
//     times out, errs or returns garbage is an error, and an error allows
//     nothing.
//   - A policy sees of its caller exactly what it declares: arguments as the
//     guarded function sees them, its own claims, and action and function if it
//     asks for them.
//   - A function without any access is never run.
//
// # Ownership
//
// A Guard has no state and no goroutine; Decide runs on its caller's.
//
// # What it does not do
//
// It runs neither SQL nor guests: a Runner that the host hands in does, in a read
// transaction for queries and in the mutation's own for mutations (F11).
// Decisions are taken at each subscribe and call. That they stay live, with the
// fence between a decision and a result, is reactor/decision.go's part.
package policy
