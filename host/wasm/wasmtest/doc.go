// Package wasmtest assembles tiny WebAssembly modules for tests, byte by byte,
// so that hostile guests need no toolchain, and keeps what tests compile.
//
// # Promises
//
//   - A Guest without further fields is a module that passes as a guest: it
//     describes itself with its manifest, offers an input buffer and returns
//     nothing from calls.
//   - Nothing is checked: what a test asks for is what it gets, also when it is
//     not valid.
//   - CacheHome is shared by all test binaries and runs of one set of
//     dependencies. What was compiled with others is never found there, and what
//     is old is forgotten.
//   - Program is weir without the race detector, whatever the tests are built with.
//
// # Ownership
//
// All functions return new slices. Nothing is kept but what others put into
// CacheHome.
//
// # What it does not do
//
// It is no assembler: there are only the instructions that tests need, as
// functions that return their bytes, to be put in order with Join.
package wasmtest
