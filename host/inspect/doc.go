// Package inspect decides what a plugin may bring in before anything else looks
// at it. It holds the fourth layer of the SQL sandbox: an allow-list over the
// parsed statement.
//
// PostgreSQL's own parser reads the text (libpg_query as WebAssembly), and a
// walker goes through the whole tree. What is not on a list (a kind of node, a
// field of one, a function, an operator, a schema) is refused in a sentence that
// says what to write instead.
//
// The parser costs 255 MB and about two seconds of computing, so it runs in a
// child: this program again, told by its arguments to Serve. The child gives up
// all it can before it reads the first byte, serves many statements, and ends
// when there are none for a while. Verdicts are kept on disk, so that a start
// with the same plugins needs no child.
//
// What such a child needs, any room may use: StartProcess for the parent, Confine
// and Fence for the child, and PrivateDir, PrivateKey and ReadPrivate for what is
// kept and trusted later. Package wasm compiles modules in one.
//
// # Promises
//
//   - I1: what the walker does not know is refused. A new version of the parser
//     can make it stricter, never looser.
//   - I2: only an authenticated verdict about exactly these bytes, this kind of
//     use, this list of functions and this program allows. A child that crashes,
//     hangs or answers garbage refuses.
//   - I3: no statement reaches the parser that could overflow its stack, which
//     has no guard: it would corrupt the parser silently. See nesting.
//   - I4: the child has no environment, no file but its three pipes, no way to
//     open one or to start a program, and bounded memory and computing time
//     (Linux; elsewhere no environment and no files of ours). A child whose
//     Profile lets it make files reaches those of its directory only, where the
//     kernel has Landlock.
//   - I5: everything is bounded: texts, answers, waiting, verdicts kept, children
//     (one), and how often one tenant may crash it.
//
// # Ownership
//
// An Inspector is safe for concurrent use and owns the child. One caller at a
// time talks to the child; a goroutine waits for the process and ends with it. In
// the child everything happens on one goroutine, locked to its thread.
//
// # What it does not do
//
// It sees no catalog: it cannot know that a name on the list means a function
// that a user made in the same schema, what a view, a default, a trigger, a cast
// or a domain calls, or how much a statement will read. Roles, the read-only
// transaction and the bounds of the host are the layers for that.
package inspect
