// Package serve is the wire: JSON over HTTP, results over server-sent events.
//
// It turns requests into calls of a Backend, and publications of the reactor
// into frames. PROTOCOL.md is its contract.
//
// # Promises
//
//   - S1: latest state wins. A session holds per subscription what the client
//     has been shown and reads the newest state when the socket takes bytes
//     again. There is no queue of results: a slow client gets fewer, newer
//     states, and costs nobody else anything.
//   - S2: every status is told: stale, live again, error and end survive the
//     skipping of results (W9, F10).
//   - S3: the stamp of a state is told before its rows, so that a client which
//     comes back is shown nothing older (W2).
//   - S4: a stream has ended by the time its token has (D6). A subscription is
//     subscribed anew, policies included, for every renewed token.
//   - S5: sessions, subscriptions, bodies, headers, tokens and the bytes that
//     stalled clients pin have limits (W6, D2), and so have file descriptors
//     (door.go) and the time that a request may take to arrive. What is over one
//     is refused; what is already served is never evicted to make room.
//   - S6: a session id works only together with its principal and tenant; any
//     other use gets the answer for an id that was never given out.
//   - S7: the Host header is checked before anything else, the origin before
//     anything that has a caller. Query strings and tokens are in no log (D8).
//   - S8: a client is told a code and a public text; problem.go is the only table.
//   - S9: no content of rows, names or errors can break the framing of a stream.
//   - S10: a denial is a state: its client drops the rows, is told so once, and is
//     told everything when the policies allow again. No frame of a scope follows
//     the end of it, and what a denial overtakes in the middle of a write is cut
//     off (W5, D2). Undecided is stale, never denied (F4).
//   - S11: the operators' listener (operator.go) shows no rows, claims or tokens,
//     answers no other site's page, and its playground is the public listener's
//     own handler with its guards.
//   - S12: a delta goes to clients that asked for deltas, and leads from the version
//     that all subscriptions it is for hold to the one that they may be shown now
//     (D1). It passes the fence like a whole result, and nothing in it is of another
//     time (W5).
//   - S13: a cookie is worth its token and no more, and only to a page whose origin
//     may ask; a ticket opens one stream, once, within 30 s.
//   - S14: with a certificate the listener speaks TLS 1.2 at least, and asks for the
//     certificate of the moment at each connection.
//
// # Ownership
//
// A stream has one writer, its outlet: the goroutine of its request (writer.go), or
// on Linux, for plain HTTP/1.1, the loop of a shard, which holds thousands and has
// no goroutine or buffer for one that is idle (shard_linux.go,
// writer_shard_linux.go). Both ask the session's script for the next turn, so that
// what is told is decided in one place. The writer alone touches the connection.
// What others want of it (a drop, a renewal, the end) they leave in the session
// under its mutex, and wake it. Shards live from their first stream to Close. The
// reactor's loop calls Server.Published, which notes the publications; a fan-out
// goroutine wakes the sessions that watch them. Subscribing waits for policies,
// so that it happens in a bounded pool, fair by session. Both goroutines live
// only while there is something to do; Close waits for them.
//
// # What it does not do
//
// It knows no wasm and no SQL, evaluates no policy, parses no argument, and
// verifies no token: it declares what it calls and package host implements it.
package serve
