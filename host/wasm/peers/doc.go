// Package peers measures weir's guests beside what others offer for the same
// work: wazero alone, Extism, OPA and CEL. It is a module of its own, so that
// what it needs for that never enters weir's go.mod.
//
// # Promises
//
//   - P1: all that is compared does the same work in one process, in turns of
//     half a millisecond: what else the machine does is done to all alike. The
//     figures are medians over the turns, and a figure that ends in -x is the
//     median of the ratios to the floor in the same turn.
//   - P2: each answer is checked once before it is measured.
//   - P3: Go guests are built by the Go toolchain, tiny ones assembled here. Those
//     in C and Rust are measured where clang and a rustc with a WebAssembly target
//     are found, and said to be missing elsewhere.
//
// # Ownership
//
// Runtimes, pools and files belong to the benchmark that made them.
//
// # What it does not do
//
// It judges nothing: docs/benchmarks.md holds the figures against their goals.
// Extism's guests are written against its imports and copy by eight bytes, as
// its own kits do; a kit could differ.
package peers
