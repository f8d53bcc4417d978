// Package host is the server: it gives the reactor a body.
//
// Host wires the rooms, and is the only place where they meet. The path of a
// change through it:
//
//	changelog.Listener ──► deliver ──► reactor.Apply ──► (core) ──► executor ──► db, plugin
//	                                                        │
//	serve (writers) ◄── Published ◄── publications ◄────────┘
//
// and the path of a request:
//
//	serve ──► backend: function, arguments, policies to ask, key ──► reactor.Subscribe
//	serve ──► backend.Mutate: policies and function in one write transaction
//
// # Promises
//
//   - W4: the key of a group holds all that its function can see: digest, grants,
//     role, search path, and the whole input (key in call.go).
//   - W5: no function is run before its policies said allow, and nothing of it is
//     shown while they do not.
//   - W10: a plugin whose statements cannot be kept live is not loaded: its
//     tables are captured before its first query runs.
//   - Start and stop have one order, in host.go. Run returns when everything that
//     it started has ended.
//
// # Ownership
//
// A space holds one tenant's rooms and is immutable after New, but for the set of
// plugins, which swaps a pointer. The loader goroutine loads plugins; executions
// run on the reactor's goroutines, requests on those of serve.
//
// # What it does not do
//
// It parses no flags and no environment, and does not end the process.
package host
