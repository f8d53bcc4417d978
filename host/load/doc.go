// Package load makes load as very many clients would, and checks what they see.
//
// A Fleet holds sessions over raw sockets, reads them with one loop and one shared
// buffer, parses their streams and applies full results and deltas. A Book knows
// what was written and when; Writes keeps a rate of transactions that a Writer
// carries out.
//
// # Promises
//
//   - L1: every commit is a sample: a frame that shows commits 4, 5 and 6 gives
//     three latencies, each from just before its own commit. So coalescing and a
//     slow server cannot hide what waited.
//   - L2: what a subscription shows never goes back; if it does, that is counted.
//   - L3: at the end every subscription is compared with what was committed last:
//     missing or older is counted, never averaged away.
//   - L4: the version of each distinct result is computed again from its bytes.
//   - L5: everything is bounded by its Config: sessions, openings at once, bytes of
//     one stream that wait for their end.
//
// # Ownership
//
// The loop's goroutine owns all connections and their state; others ask it through
// a queue of functions. Fleet.Close ends the loop and waits for it. Fleets need
// Linux (epoll); elsewhere NewFleet says so.
//
// The package knows the wire alone: it imports nothing of weir, so that it cannot
// share a mistake with the server.
package load
