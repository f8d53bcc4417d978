// Package calls remembers what mutations with an idempotency key have answered,
// so that a client which never heard the answer may ask again.
//
// # Promises
//
//   - A key is noted in the mutation's own transaction: if that commits, the
//     answer is remembered for 24 hours; if it does not, neither is the key, and
//     the next try runs.
//   - Two calls with one key never both run to the end: the second waits for the
//     first, and then takes its answer.
//   - A key belongs to a principal, a function and its arguments. With other
//     arguments it is refused, another principal's key is another key.
//   - A tenant's role sees and makes none of another's: the database derives the
//     tenant from the login role (weir.tenant).
//
// # Ownership
//
// A Log has no goroutine; the host sweeps. Begin and End run on the caller's, in
// the transaction that they are given.
//
// # What it does not do
//
// It runs no mutation and asks no policy: the host asks them first, also for an
// answer that is remembered.
package calls
