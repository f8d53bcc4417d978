// Package changelogtest has what tests of change capture share.
//
// # What it promises
//
//  1. FollowSequence is wrong on purpose. Commit order is not the order of a
//     sequence, so a reader whose cursor is a number loses rows (C1). A race test
//     runs it beside the real readers: if it misses nothing, the writers did not
//     race and the test proves nothing.
//
// # Ownership
//
// FollowSequence owns the connection it is given and one goroutine, until the
// function that it returned comes back. The caller closes the connection.
//
// # What it does not do
//
// It starts no database, that is devdbtest's, and it never reaches the binary.
package changelogtest
