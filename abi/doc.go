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
//     CBOR without duplicate keys, at most MaxDepth deep.
//   - A4: the input array of a function is all that it sees of its caller, and
//     it is exactly the content of the group key.
//   - A5: the version is the import module's name. A host may serve several.
//
// # What it does not do
//
// It runs no guest, opens no connection and keeps no state. It builds for
// wasip1 and imports only a small part of the standard library.
package abi
