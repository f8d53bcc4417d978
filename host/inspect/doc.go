// Package inspect decides what a plugin may bring in before anything else looks
// at it: its module and its SQL.
//
// Gate reads a module before a compiler does. A reader of our own takes it apart
// (Shape), with every count and every index checked; limits and an estimate of
// the compiler's work refuse what would keep it busy (work). Meter rewrites what
// is left, so that it counts what it does.
//
// The fourth layer of the SQL sandbox is an allow-list over the parsed statement.
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
//   - I6: the gate takes time and memory in proportion to the module, and makes
//     nothing for a number that it has not seen borne out (G1).
//   - I7: what passes the gate names nothing but what the module itself has, in
//     its own index spaces, and the compiler reads the same instructions (G2).
//   - I8: what passes the gate, the compiler takes or refuses without a panic, and
//     in bounded time and memory: seconds and a few hundred megabytes for one
//     function, a minute for all.
//
// # Ownership
//
// An Inspector is safe for concurrent use and owns the child. One caller at a
// time talks to the child; a goroutine waits for the process and ends with it. In
// the child everything happens on one goroutine, locked to its thread.
//
// A Shape belongs to who made it until it is metered; it holds the module's bytes.
//
// # What it does not do
//
// The gate does not check the types of operands: that is the compiler's part. It
// sees no catalog: it cannot know that a name on the list means a function
// that a user made in the same schema, what a view, a default, a trigger, a cast
// or a domain calls, or how much a statement will read. Roles, the read-only
// transaction and the bounds of the host are the layers for that.
package inspect
