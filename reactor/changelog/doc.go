// Package changelog captures what is written to a PostgreSQL database and
// delivers it as reactor.Batch values.
//
// Statement triggers write one row per statement into weir.log, in the writer's
// transaction. A Listener reads what became visible between two snapshots.
//
// # Promises
//
//  1. A committed change of a watched table is in exactly one batch, or a batch
//     with Resync follows it (W1; C1, C4, C5, C6).
//  2. Each batch is a consistent point: with it everything that its snapshot
//     sees is known. Empty batches are delivered too.
//  3. What is not known widens: a column that is absent matches every value, no
//     keys mean the whole table, no mask means all columns (C7, C8, C9).
//  4. Capture never fails the writer's statement, whatever types the table has
//     and whatever DDL came after, and never waits for weir (C8, C12).
//  5. weir stopped costs the writer one look at a sequence (C6), and the log is
//     bounded by time and size as long as transactions end (C5).
//  6. Changes of partitions and children carry the OID and the column numbers of
//     the topmost table (C10).
//  7. What cannot be captured is refused, and triggers that do not stand as they
//     should are told as State.Uncaptured (C10).
//  8. Listener.Run reconnects for ever; a connection that is silent for longer
//     than the heartbeat is given up (F4). Nothing is lost across it.
//
// # Versions
//
// PostgreSQL 14 to 18. Differences: the epoch of 14 uses an unlogged table
// (EpochExpr); virtual generated columns of 18 are never in keys and always in
// masks. Tests run on the version that the machine has.
//
// # Ownership
//
// Run owns the reading goroutine and the keeper, which has its own connection
// and rotates, compares definitions and repairs triggers. Deliver is called from
// the reading goroutine, so a slow consumer slows the reading, never the writer.
//
// # Traps avoided by design
//
//   - C13: there is no wake-up by the database; reads are polled, and poked.
//   - C12, NOTIFY: never used.
//   - C5, slot: it is read from a sequence, not taken from now(), and the seal is
//     checked again before a partition is emptied.
//   - C6, an old snapshot cannot hide the reader's mark: it is in a sequence.
//   - C11, DDL without event triggers is noticed up to a second late. Such a
//     change carries a number taken after the look, so nothing is missed.
//
// # Cost
//
// What a statement that writes one row costs the writer, in thousands of
// instructions of the server (callgrind, PostgreSQL 15, a table of four columns,
// two of them watched), for an update and an insert. The statement and its commit
// by themselves take 113 and 59.
//
//	trigger that does nothing, with transition tables    16   13
//	is anybody listening (all that weir stopped costs)   10   10
//	log row of constants: executor, heap, index, WAL     41   41
//	rows out of the transition tables, their keys        25    9
//	mask, 8 for each column                              33    –
//	second row? unknown column? which partition?         38   21
//
// What these numbers taught: most of an executor run is starting it, in
// proportion to the nodes of its expressions, so one run, few nodes and no
// nesting of objects. An expression that plpgsql evaluates itself costs 6 to 8
// for each transaction, "return null" and a test of tg_op too. Row triggers start
// as cheap as statement triggers with transition tables, but run for each row and
// cannot name columns robustly without an executor run of their own. WHEN costs
// more than the same test inside the function. A partition found or checked costs
// 8 to 13 a row. A query for the mark's row costs 27, the sequence 10.
//
// # What it does not do
//
// It does not decide who is concerned, and it does not read tables. Writes that
// reach no statement trigger are out of its sight: logical replication (refused),
// replica sessions where weir's role does not own the table (told by Check), and
// whatever touches the files.
package changelog
