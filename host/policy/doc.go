// Package policy decides who may call what.
//
// Every function states its access: policies, signed_in or public; the
// configuration can require more policies for a pattern. A Guard lists what must
// be asked before a call, with what each policy may know of it. For a query the
// reactor asks, and keeps the answers live; for a mutation Decide asks once,
// inside its transaction. All must allow, scopes merge, a conflict denies.
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
// It runs neither SQL nor guests: the reactor's executor does for queries, and a
// Runner in the mutation's own transaction for mutations (F11). The fence between
// a decision and a result is reactor/fence.go's part.
package policy
