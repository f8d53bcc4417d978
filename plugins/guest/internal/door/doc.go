// Package door is the hidden door between the guest SDK and its tests: the host
// functions as an interface, and what weirtest must know of a statement.
//
// # Promises
//
//   - Host has the shape of the host functions of the contract, so that a
//     handler runs the same code natively as in WebAssembly; only the last step
//     differs.
//   - Results follow the contract: a value >= 0, or a negated abi.Errno.
//
// # Ownership
//
// The variables are set once, when package weir is initialised, and only read
// afterwards. A Host is used by the goroutine that runs the handler.
//
// # What it does not do
//
// It is no part of the WebAssembly build and not for plugins: names here change
// without notice.
package door
