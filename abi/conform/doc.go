// Package conform checks that a guest keeps the contract of package abi: the
// half of the conformance kit that is about plugins and SDKs. The other half,
// about hosts, is abi/abitest.
//
// It runs a plugin's module against a host of its own, which has no database: it
// answers every host function as the contract says or, to try the guest, with
// each error and with rows of any shape, and looks at all that the guest asks,
// returns and leaves behind.
//
// # Promises
//
//   - K1: each Rule stands on a sentence of docs/abi.md, and is checked on its
//     own: a guest that breaks one rule fails that rule and no other.
//   - K2: a guest that keeps the contract fails no rule, whatever language it is
//     written in.
//   - K3: a Result that failed says what was seen, and its Rule what to do.
//   - K4: a check ends, whatever the guest does: each entry has Budget, and
//     all together have ten minutes.
//
// # Ownership
//
// Everything runs on the goroutine of Check. Guests are closed before it
// returns.
//
// # What it does not do
//
// It runs no WebAssembly itself: a Machine does, and host/wasm has one. It knows
// no SQL, so it cannot tell whether a statement is right; weir check does, with
// the database.
package conform
