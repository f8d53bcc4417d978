// Package scenarios proves weir's promises on whole applications: a real host, a
// real PostgreSQL and real clients of its streams, in nine stories that people will
// build: a chat with revocation, a kanban, a leaderboard, an auction, the suspension
// of an org, a deploy, orders, many idle subscriptions, and many groups of one table.
// It has tests only.
//
// # How a result is judged
//
// Writers note, inside each transaction and just before its commit, what the queries
// that it touches answer. So the history of each result is known: every state that
// was ever committed, in order. Each frame that a client gets, applied to what it
// holds, is looked up there. It must be a state that was committed (W1), not older
// than the one before (W2), and one that this client was allowed to see (W5). The
// version of each result is computed again from its bytes. At the end each client is
// compared with a fresh answer of PostgreSQL.
//
// Executions are counted as the reactor reports them: how many each commit costs is
// asserted exactly (W3), and so are frames where nothing but what was asked for may be
// pushed.
//
// # Scale
//
// WEIR_PROVE multiplies what happens, and up to a bound to how many; 1, the default, is
// for every run of the tests, and 5 takes about a minute. Nothing asserts a time. Each
// scenario logs a line that begins with "prove:": clients, commits, frames, executions,
// and how long it took from a commit to its clients.
//
//	go test -run TestScenario -v ./host/prove/scenarios
//	WEIR_PROVE=5 go test -run TestScenario -v -timeout 10m ./host/prove/scenarios
//
// # What it does not do
//
// Nothing breaks here: no process is killed and no wire is cut. Queries are few and
// well known; random ones are the oracle's.
package scenarios
