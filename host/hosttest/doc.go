// Package hosttest starts a whole host for tests: a fresh database with a schema
// and a seed, a plugin built by the Go toolchain, a server on a random loopback
// port.
//
// # Promises
//
//   - Every test has its own database and its own host; tests may run in
//     parallel. Both are gone when the test has ended.
//   - Start returns when the plugins were tried and the change log is read.
//   - A plugin is built once per test binary, and compiled once for all binaries
//     and runs: wasmtest.CacheHome keeps it.
//   - Connections that http.DefaultClient keeps are closed when the binary ends,
//     before devdbtest.Main looks for goroutines that are left.
//
// # Ownership
//
// A Server belongs to its test. The goroutine that runs the host is waited for at
// the test's cleanup.
//
// # What it does not do
//
// It asserts nothing but that the host starts. It is no part of the binary.
package hosttest
