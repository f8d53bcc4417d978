// Package weir is the Go SDK for plugins: declare SQL statements and functions
// over them, say who may call, and weir keeps every result live.
//
//	type ListArgs struct {
//		Room  int64
//		Limit int `weir:"min=1,max=200,default=50"`
//	}
//
//	type Message struct {
//		ID   int64
//		Body string
//	}
//
//	var list = weir.Select[ListArgs, Message](`select id, body from messages
//		where room_id = $room order by id desc limit $limit`, weir.Key("id"))
//
//	func init() { weir.Query("messages.list", list, weir.SignedIn()) }
//
//	func main() {}
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags="-s -w" -o chat.wasm .
//
// # Types
//
// Arguments, rows and results are structs. A field's name is its json tag, else
// its Go name in lower snake case (SentAt is sent_at). A pointer is optional.
// time.Time is timestamptz (format=date: date), []byte bytea, a [16]byte uuid,
// JSON json and jsonb; numeric is exact text, so a string. Tags:
//
//	json:"name"    the name outside Go; "-" leaves the field out
//	weir:"…"       min= max= minlen= maxlen= default= enum=a|b format=, separated by commas
//	claim:"sub"    from the caller's token, and not from the client
//	scope:"org"    from what policies put into the scope
//	doc:"…"        a sentence for people
//
// # Promises
//
//   - SDK1: a function sees of its caller the fields of its struct, and nothing
//     else. Clients cannot set claim and scope fields.
//   - SDK2: a function that is one statement never enters the guest; a handler
//     that returns Rows never receives them.
//   - SDK3: calls use no reflection. Types are read once, when a statement or
//     handler is declared, into a plan of field offsets and typed closures
//     (package unsafe). Exceptions, some 50 ns each: a slice or pointer whose
//     element is a struct, pointer or slice, inside another type; a map in a
//     result.
//   - SDK4: the manifest does not depend on the order of init functions.
//     Functions are sorted by name; statements have the order of their
//     package-level vars, which Go fixes.
//   - SDK5: mistakes in types, tags and names are told when the plugin loads,
//     all at once, and in a native test by weirtest.Manifest.
//   - SDK6: the same handlers run natively under go test, on weirtest's fakes;
//     only the last step to the host differs.
//
// # Ownership
//
// A Call and its Rows belong to the handler's goroutine and end with the call;
// goroutines that outlive it are not run again. The input and output buffers are
// package variables of the guest, which runs one call at a time.
//
// # What it does not do
//
// It has no network, files or environment, and imports neither fmt nor
// encoding/json, which would add a megabyte; a plugin may. It does not check
// arguments: the host did, by the schema that comes from the types.
package weir
