// Package weirtest tests plugins in two ways. Call runs a handler in a plain Go
// test: no database, no WebAssembly, instantly. Start runs weir itself, with the
// plugin built and a database for this test alone, and its clients call and watch
// as a browser does.
//
//	func TestPostReturnsTheMessage(t *testing.T) {
//		c := weirtest.Call(weirtest.Fake(insert, Message{ID: 1, Body: "hi"}))
//		m, err := post(c, PostArgs{Me: "ann", Room: 7, Body: "hi"})
//		if err != nil || m.ID != 1 {
//			t.Fatal(m, err)
//		}
//		if asked := weirtest.Asked(c, insert); asked[0].Room != 7 {
//			t.Errorf("inserted into room %d", asked[0].Room)
//		}
//	}
//
//	func TestOthersSeeWhatOnePosts(t *testing.T) {
//		w := weirtest.Start(t)
//		live := weirtest.Watch[[]Message](w.As("bob"), "messages.list", ListArgs{Room: 7})
//		w.As("ann").Call("messages.post", PostArgs{Room: 7, Body: "hi"})
//		live.Want(func(m []Message) bool { return len(m) == 1 && m[0].Author == "ann" })
//	}
//
// # Promises
//
// Of Call:
//
//   - Arguments and rows take the way that they take in WebAssembly, through the
//     same encoding; only the last step to the host differs.
//   - A statement without a fake fails when its rows are read, and says which.
//   - Like the host, a fake runs a SELECT when its rows are first read.
//   - The clock stands still at Epoch unless Now sets it.
//   - It runs no SQL, checks no policy and fills in no default of an argument: a
//     handler gets the struct that the test gives it.
//
// Of Start:
//
//   - Nothing is faked: it is the program that serves, with inspection, policies
//     and streams, on a random port of this machine.
//   - The database is as the SQL files make it, whatever other tests do, and is
//     dropped at the end of the test, also of one that fails.
//   - Nothing sleeps: Want and WantDenied wait for what must come, and show what
//     came last when it does not.
//
// # Ownership
//
// A call belongs to the goroutine of its test. A Server, its clients and what they
// watch may be used by several goroutines and end with the test. Tests may run in
// parallel, each with its own.
//
// # What it does not do
//
// It imports nothing but the standard library, and no plugin imports it outside
// tests. It takes no token of the project's own issuers: AsClaims signs with a key
// that is made for the test.
package weirtest
