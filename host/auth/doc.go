// Package auth says who is calling: it verifies tokens and reads claims.
//
// A Verifier belongs to one tenant. Verify turns a JSON Web Token into a Caller,
// whose Principal is the pair (issuer, sub) and whose claims are the only thing
// that plugins may ever learn of him.
//
// # Promises
//
//   - J1: nothing of a token is used before its signature holds, but alg and kid,
//     and these only to look up a key (D7). A token never names a place that is
//     fetched or read.
//   - J2: a key has one algorithm, of HS256, EdDSA, ES256 and RS256, fixed by the
//     kind of key. There is no "none".
//   - J3: size and dots are checked before anything is decoded, so that what is
//     refused costs nothing (D7).
//   - J4: one parser reads a token, once. Duplicate keys, broken text and numbers
//     that would lose digits are refused: two readings of a token cannot differ,
//     and two users cannot become one.
//   - J5: exp has no leeway; at exp the token is over. Without exp a token is
//     refused unless the configuration allows it.
//   - J6: key sets come from configured addresses, over https, without redirects,
//     not from private networks unless that is configured, at most 64 KiB. They
//     are cached by (issuer, kid); unknown kids cause at most one fetch a minute.
//   - J7: every refusal has the same text for clients. What was wrong is in the
//     Kind and the Detail, for the log, and repeats nothing of the token but a
//     quoted, shortened kid.
//
// # Ownership
//
// A Verifier is safe for concurrent use. Fetches run in goroutines that belong to
// it: they end with their timeout, and Close waits for them. A Caller is
// immutable.
//
// # What it does not do
//
// It reads no HTTP request, sets no cookie and keeps no session: serve does. It
// decides nothing about access: policies do. It issues no tokens but those for
// development.
package auth
