// Package db runs the SQL of plugins as the tenant's role and says what each
// result depended on.
//
// A Statement is prepared once: its template is expanded, PostgreSQL describes
// every variant, and EXPLAIN of the generic plan gives the read set. A Wave runs
// many queries in one pipelined read transaction; a ReadTx serves a function
// that looks at its rows, a WriteTx a mutation. Rows keep the bytes of the wire
// and become JSON or CBOR when they are written out.
//
// # Promises
//
//   - Sound: a change that no atom of an answer concerns has not changed the
//     answer. Only conditions on scan nodes count, and what is not understood
//     is dropped, which widens (R1 to R3, R6, R11).
//   - Gated: a table that PostgreSQL opened for a statement has an atom, or the
//     statement is refused (R3, R5).
//   - Dated: an answer carries the snapshot that it was read at, the epoch (C4),
//     and the snapshot before its schema was looked at (R4). A transaction on a
//     standby, or under which a table was rewritten, gives no answer (R9, R10).
//   - Refused early: what reads the clock, is volatile, has no total order under
//     LIMIT or reads what cannot be captured fails in Prepare with a sentence
//     that says what to write instead (W10, R7, R8).
//   - Bounded: connections, prepared statements, analyses, rows and bytes have a
//     limit in Config. At the deadline the statement is cancelled on the server
//     and its connection is not used again.
//   - Exact: values keep all their digits. Text never breaks a line or a string
//     of JSON, whatever is in it.
//
// # What a result says of its tables
//
// A table is read at table level when no equality of its scan is with a parameter,
// and a top list is concerned by rows far behind its last one. What the result
// shows narrows both, in three ways. Each needs a proof from the plan; without one
// the atom stays as wide as it was, and Explain says what is missing.
//
//   - Keys in the result. A table is joined by its key with a column of another
//     one and stands in no other condition: it is looked up. Of an inner join a
//     foreign key must say that each row is there. Then it adds no row and drops
//     none, so the rows of the statement are those without it, each extended by
//     one lookup, and the keys that are looked up are those that the result shows.
//     With LIMIT it must not decide the order, or LIMIT must have cut nothing off.
//   - A list of keys. Of two tables in a join, the rows of one that count meet
//     conditions that make its atom. A row of the other whose key none of these
//     holds finds no partner, whatever is above the join. A second statement lists
//     the keys at the same snapshot.
//   - The last row. LIMIT is reached, the order begins with a column that is never
//     NULL, and each row is made of one row of that table and depends on no other
//     of it. What is sorted strictly behind the last row, before and after, neither
//     comes among the first nor makes another come.
//
// What they say holds as long as nothing changed that they rest on, which concerns
// another atom of the read set; the next result brings its own. A foreign key is
// trusted to hold while it is validated, not deferrable, and all its triggers fire.
// Who switches them off, writes rows that it does not allow, and switches them on
// again has made PostgreSQL say what is not so.
//
// # Ownership
//
// DB, Statement and Rows are safe for concurrent use. A ReadTx and a WriteTx
// belong to one goroutine, and so does the connection under them. The only
// goroutines of this package write a large request beside the reads, and send a
// cancel request; Close waits for them.
//
// # What it does not do
//
// It captures no changes, matches none, and creates nothing in the database. It
// does not check SQL against an allow-list: that is done in the inspection child
// before a statement gets here. It knows no wasm and no HTTP, and its errors
// hold details that only a log may see; a client sees their code.
package db
