// Package soak holds the soak test: a server that works for long must keep nothing
// of what has gone.
//
// It has tests only. TestServerKeepsNothing starts a server, holds streams of a hot
// query open, and beside them lets everything that comes and goes in a server's
// life come and go: sessions and their subscriptions, one-query streams, requests
// with and without an ETag, calls of a plugin written in Go, requests that are cut
// off, clients that never read, tokens that are renewed, members who are taken out
// and put back, plugins that are replaced, a configuration that requires a policy and
// no more. Many times on the way, at equal counts
// of deliveries, what came is sent away and the server is measured. The test prints
// these curves, and at the end a verdict for each.
//
// # Promises
//
//   - Counts set the length, not hours. WEIR_SOAK=1, the default, is ten thousand
//     deliveries and a hundred plugin calls; WEIR_SOAK=1000 is ten million and a
//     hundred thousand, with the same work in the same proportion.
//   - The server is a process of its own, so that its memory, descriptors and
//     goroutines are nobody else's. It is the test's binary again and not weir's,
//     because it collects its garbage and tells its heap when it is asked to: what
//     is measured is what it holds and not what it has not swept yet. What it runs
//     is host.Host, wired as weir serve does, with the children that inspect and
//     compile.
//   - A verdict is about the second half: when caches are filled and pools have
//     their size, nothing may grow with the work. The slope is that of a
//     regression, so that one sample that is off decides nothing.
//   - At the end what every client shows is compared with the database.
//
// # Ownership
//
// The goroutines of a round are waited for in the round; the server, the fleet of
// hot streams and the witness belong to the test.
//
// # What it does not do
//
// It measures no speed, and cuts neither the database's nor the clients' network.
// Tables that keep something by design, such as answers by idempotency key for a
// day, are not looked at.
package soak
