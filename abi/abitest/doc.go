// Package abitest is the executable form of the contract in package abi: golden
// vectors that every host and every guest SDK must agree on, and the half of the
// conformance kit that is about hosts. The half about guests is abi/conform.
//
// The vectors are text under testdata, so that SDKs in other languages can read
// them too:
//
//   - codec.txt: bytes and the value that they are, and bytes to refuse;
//   - packed.txt: packed results and their parts;
//   - inputs.txt: functions, arguments and callers, and the input that they make;
//   - decisions.txt: what a policy may return, and what it may not;
//   - manifests.txt: manifests as JSON, and for bad ones a part of the sentence
//     that refuses them.
//
// The rules for hosts (HostRules) are guests, assembled here, with what a right
// host answers them. Most are wrong on purpose: each export, host function, errno,
// bound and encoding has one. The guests of Wrongs break one rule for guests each.
//
// # Promises
//
//   - T1: a line is never changed once a version of the contract is out; lines
//     are only added.
//   - T2: every refusal of the contract has at least one vector or one guest.
//   - T3: every rule quotes the sentence of docs/abi.md that it stands on, and the
//     tables there list all rules.
//   - T4: a rule asks for codes and errnos, never for an engine's words. Of a
//     sentence it asks at most for the name of what is wrong.
//
// # Use
//
// A Go test hands its own functions in: abitest.Codec(t, encode, decode). Each
// vector is a subtest, so that a failure names its line. A host implements Host
// and calls abitest.Hosts(t, host).
//
// # What it does not do
//
// It runs no module and knows no wazero: guests are bytes here, and Host and
// conform.Machine run them.
package abitest
