// Package weirtest runs a plugin's handlers in plain Go tests: no database, no
// WebAssembly, instantly.
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
// # Promises
//
//   - Arguments and rows take the way that they take in WebAssembly, through the
//     same encoding; only the last step to the host differs.
//   - A statement without a fake fails when its rows are read, and says which.
//   - Like the host, a fake runs a SELECT when its rows are first read.
//   - The clock stands still at Epoch unless Now sets it.
//
// # Ownership
//
// A call belongs to the goroutine of its test. Tests with calls of their own may
// run in parallel.
//
// # What it does not do
//
// It runs no SQL, checks no policy and fills in no default of an argument: a
// handler gets the struct that the test gives it.
package weirtest
