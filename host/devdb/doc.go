// Package devdb runs a private PostgreSQL for `weir dev` and for tests: it
// finds or downloads the programs, makes the cluster, starts the server,
// attaches to one that runs already, and stops what it started.
//
// # Promises
//
//   - DB1: nobody else gets in. The server listens on one Unix socket in a 0700
//     directory and on no network address; pg_hba.conf names local users only.
//   - DB2: one server per directory. Starters take a lock; the second one
//     attaches to the server of the first.
//   - DB3: a crash is survived. After kill -9 of the server, of the process that
//     started it, or of both, the next Start recovers the data and answers. An
//     initdb cut short leaves nothing that a later Start would trust.
//   - DB4: nothing is left running. Close stops what Start started, fast first,
//     then immediate, then by force; on Linux the kernel stops the server when
//     the process that started it dies. An attached server is left alone.
//   - DB5: root works. The server then runs as another user: the owner of the
//     data, else postgres, else the user behind sudo, else nobody. When that user
//     cannot reach the directory, the data is kept under /var/lib/weir and a log
//     line says where.
//   - DB6: nothing unverified is unpacked. The download is pinned by version and
//     SHA-512, bounded in size, and its paths cannot leave the cache directory.
//   - DB7: user data is never deleted unasked and fsync is never turned off here.
//     Only a temporary cluster (empty Config.Dir) is removed, by Close, or by a
//     later Start when its owner was killed. Remove deletes any, and leaves
//     nothing.
//
// # Ownership
//
// Each server process has one goroutine that forks it, stays on its operating
// system thread (the kernel's parent-death signal follows the thread, not the
// process) and waits for it. Close waits for that goroutine. Run, if the caller
// wants the server kept alive, works in the caller's goroutine. All methods are
// safe for concurrent use.
//
// # The directory
//
//	data/          the cluster (0700)
//	postgres.log   what the server said; emptied at a start when above 8 MiB
//	lock           held while a starter works; for a temporary cluster, for life
//	socket         the name of the socket directory, so that URLs stay the same
//	elsewhere      the place of the data when the server's user cannot come here
//
// # What it does not do
//
// It speaks no SQL, knows no driver, makes no roles or tables, upgrades no data
// from one major version to the next, and does not run on Windows. Outside Linux
// a server outlives a starter that was killed; the next Start attaches to it.
package devdb
