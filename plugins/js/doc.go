// Package js makes weir run JavaScript plugins: it holds the SDK that they are
// written with, and links it to QuickJS into one ordinary guest module, the
// engine, that all of them share.
//
// # Promises
//
//   - J1: the engine is made of exactly one QuickJS, known by its SHA-256, so that
//     a file from anywhere may be given.
//   - J2: equal inputs give equal bytes: a plugin's digest, which is that of
//     engine and source, is the same on every node.
//   - J3: the engine imports what the adapter names and the part of WASI that
//     QuickJS needs, so that the host has no special case for it but that its
//     source is handed in.
//
// # How it is made
//
// QuickJS is taken as its npm package carries it: a linked module that exports its
// C interface and imports a few functions from env. The adapter, adapter.wat, is
// text in a part of the WebAssembly text format that this package assembles
// (wat.go). The linker (link.go) appends the adapter's functions, puts them in
// place of the imports from env, and adds the SDK (sdk/*.js) as data. No compiler
// is needed, not even when weir is built.
//
// # What it does not do
//
// It fetches nothing: make engine does, by npm. It runs nothing: package host/wasm
// does.
package js
