// Package wasm runs guests: WebAssembly modules that speak the contract of
// package abi.
//
// A Runtime compiles modules and owns what all guests share. A Pool keeps ready
// instances of one module and runs calls on them. Host functions reach the
// database only through the Backend of the call, an interface that package host
// implements, so no SQL code is seen here.
//
// # Promises
//
//   - X1: a module is refused before a byte of it runs unless its imports are
//     host functions of the contract or WASI preview 1 functions, with the right
//     types, and its exports are those of a guest. The refusal is one sentence
//     that says what to do. Features beyond WebAssembly 2.0 are refused.
//
//   - X2: the host reads and writes only guest memory that it has checked for
//     this access, writes only what the guest offered, and keeps no view of it
//     (A1, A2, G6).
//
//   - X3: a call ends: at its guest budget, at its context's end, at a limit or
//     with a result. Memory, results, host calls, statements, handles and logs
//     are bounded by tenant.Limits.
//
//   - X4: a trap, an exit, a deadline, a limit, a broken contract and a fault of
//     the host are typed errors, each with a Code. The instance is dropped after
//     any of them; growth of memory alone is not a failure (G7).
//
//   - X5: an instance runs one call at a time (G15), a host function never calls
//     back into a guest, and at most Config.MaxRunning guests run at a moment;
//     one that waits for SQL does not count (G9).
//
//   - X6: a query or a policy with equal input, rows, configuration, now and seed
//     sees equal randomness and time (G10, G11).
//
//   - X7: a statement runs when the guest first looks at rows, before an exec, or
//     not at all in here: what nobody looked at is left to the caller (G13).
//
//   - X8: every module that runs was rewritten by the meter of package inspect:
//     between two ticks a guest does what takes a fraction of a millisecond, in
//     whatever instructions, so that it ends at its deadline and never holds Go's
//     garbage collector (G3, G12), and its stack ends at its limit (G4).
//
//   - X9: nothing of a call is seen by another one, unless the operator wants that
//     (Reuse): an instance is made the image again, which was taken before any
//     caller's call (G5, G6), or is used once. No instance is shared between pools,
//     and none is used after a fault.
//
//   - X10: native code comes from a compile child, which is confined, bounded in
//     memory and ended at its time, and may leave anything (G1). What is kept of it
//     on disk is used only if its MAC says that it is of this module, this meter,
//     this wazero and this CPU; wazero is shown what was verified, and never
//     compiles in the process that runs guests (G8). Config.Command says what
//     happens where there is no child.
//
// # Ownership
//
// A call runs on the goroutine of its caller; nothing else watches it. A Runtime
// owns the goroutines of compilations that nobody waits for any more, with their
// children, and Close waits for them. Mapped memory belongs to its instance, and is
// unmapped by the pool when no code of the guest runs any more (G12); the image goes
// with the last instance of a closed pool.
//
// # What it does not do
//
// It does not hide from a call how long it takes, nor what others made of the
// machine's caches. It does not look at native code beyond its counts: who controls
// the compile child controls the process. It knows no manifest beyond its bytes, no
// policy, no SQL and no HTTP, and its logs go where the call says.
package wasm
