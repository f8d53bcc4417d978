// Package abitest is the executable form of the contract in package abi: golden
// vectors that every host and every guest SDK must agree on.
//
// The vectors are text under testdata, so that SDKs in other languages can read
// them too:
//
//   - codec.txt: bytes and the value that they are, and bytes to refuse;
//   - packed.txt: packed results and their parts;
//   - manifests.txt: manifests as JSON, and for bad ones a part of the sentence
//     that refuses them.
//
// # Promises
//
//   - T1: a line is never changed once a version of the contract is out; lines
//     are only added.
//   - T2: every refusal of the contract has at least one vector.
//
// # Use
//
// A Go test hands its own functions in: abitest.Codec(t, encode, decode). Each
// vector is a subtest, so that a failure names its line.
//
// # What it does not do
//
// It runs no module and knows no wazero; what a host must do with a running
// guest is tested beside the host.
package abitest
