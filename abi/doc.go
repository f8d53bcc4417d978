// Package abi is the contract between weir and its guests, version 1: the names
// that cross the boundary, the manifest, the encodings and the error codes.
// Host and guest compile the same package, so that they cannot disagree.
//
// # Call sequence
//
//  1. The host checks the module's imports and exports against the names here.
//  2. _initialize runs once, if it exists.
//  3. weir_describe returns the manifest. No weir_1 function but log works yet.
//  4. weir_buf(64 KiB) announces the guest-owned input buffer. It is asked again
//     only for a larger input.
//  5. For each call the host writes the input into the buffer and calls
//     weir_call(fn, len). The guest asks for rows by handle and returns a Packed.
//
// # Promises
//
//   - A1: the host writes only to memory that the guest offered: the input
//     buffer, or the (buf, cap) of a read. When cap is too small nothing is
//     written and the needed length is returned.
//   - A2: the host copies out before the next guest instruction. No memory is
//     allocated or freed across the boundary.
//   - A3: everything encoded is CBOR (RFC 8949), core deterministic. The host
//     encodes deterministically and accepts any well-formed, definite-length
//     CBOR without duplicate keys, at most MaxDepth deep. Decoding allocates in
//     proportion to the data, whatever the counts in it claim.
//   - A4: the input array of a function is all that it sees of its caller, and
//     it is exactly the content of the group key. Checked values that are equal
//     encode to equal bytes, and others never do.
//   - A5: the version is the import module's name. A host may serve several.
//   - A6: a statement's text is rewritten by PostgreSQL's lexical rules: nothing
//     inside a literal, a quoted name or a comment is taken for a parameter.
//   - A7: what a module, a client or an operator got wrong comes back as a typed
//     error whose text is a sentence with its place; judging it takes time and
//     memory in proportion to what was sent.
//
// # Where things are
//
// Value is a decoded value; Append… functions and Decoder are its encoding
// without Values, for hot paths. ParseJSON and Schema.Check turn a client's
// arguments into values, Function.Input those and the caller into an Input.
// DecodeManifest and Manifest.Validate judge a module before its first call.
// Package abitest holds golden vectors for other implementations.
//
// Everything is safe for concurrent use except Decoder, which belongs to its
// caller.
//
// # What it does not do
//
// It runs no guest, opens no connection and keeps no state. It builds for
// wasip1 and imports only a small part of the standard library.
package abi
