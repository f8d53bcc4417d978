// Command weir serves live queries from WebAssembly plugins on PostgreSQL, and
// helps to write them.
//
// It holds flags, signals, exit codes and what people read in a terminal. What
// weir does is in the rooms under host and reactor; main.go and one file for each
// sub-command put them to use.
//
//	weir new notes && cd notes && weir dev
//
// # Promises
//
//   - CLI1: exit code 0 means done, 1 that it could not be done, 2 that the
//     command was not understood. An error is one sentence with the next step,
//     printed once, on standard error.
//   - CLI2: the first SIGINT or SIGTERM ends a command in order, the second one
//     at once.
//   - CLI3: standard output carries what was asked for and nothing else, so that
//     it can be piped; a terminal gets colours of no kind, and tables only where
//     it is one.
//   - CLI4: no secret is printed: not a password of a URL, not a key.
//   - CLI5: `weir dev` and `weir demo` go on through broken source files, schemas
//     and configurations: what served before goes on serving, and what is wrong
//     is said. They need nothing but Go, and download PostgreSQL if there is
//     none.
//   - CLI6: development users (--as, ?as=) exist under dev and demo only, which
//     listen on loopback unless told otherwise.
//
// # Ownership
//
// A Main is one command line. Its streams may be used by several goroutines of a
// command through a printer, which writes whole lines. Run returns when all that
// the command started has ended; only main ends the process.
//
// # The private database
//
// Without database.url, dev keeps a cluster in .weir/pg beside weir.toml, and in
// it one database for each content of the schema and seed files. Its name holds
// their digest, so that every command finds it without a note on disk; a database
// that was cut short while it was made has another name and is never trusted.
package main
