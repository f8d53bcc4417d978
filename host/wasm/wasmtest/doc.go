// Package wasmtest assembles tiny WebAssembly modules for tests, byte by byte,
// so that hostile guests need no toolchain.
//
// # Promises
//
//   - A Guest without further fields is a module that passes as a guest: it
//     describes itself with its manifest, offers an input buffer and returns
//     nothing from calls.
//   - Nothing is checked: what a test asks for is what it gets, also when it is
//     not valid.
//
// # Ownership
//
// All functions return new slices. Nothing is kept.
//
// # What it does not do
//
// It is no assembler: there are only the instructions that tests need, as
// functions that return their bytes, to be put in order with Join.
package wasmtest
