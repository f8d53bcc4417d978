// Command plugin is the chat plugin: a room's messages that stay live, the
// rooms of the caller, a summary that is computed in Go, and a mutation that
// posts, all behind one policy.
//
//	messages.list   a SELECT that the host runs; for members of the room
//	messages.post   a Func that checks the text and inserts it; for members
//	rooms.list      the caller's rooms with their members, nested
//	rooms.summary   a Func that looks at rows
//	member          the policy: a row in members allows, and is live itself
//
// # Promises
//
//   - Nobody reads or writes a room without being its member now.
//   - The author of a message is the caller, whatever the client sends.
//
// # What it does not do
//
// It creates no rooms and edits no messages; add that as a first exercise.
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags="-s -w" -o chat.wasm ./examples/chat/plugin
package main
