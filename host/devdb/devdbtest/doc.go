// Package devdbtest gives every test a PostgreSQL database of its own, on one
// private server per test binary.
//
//	func TestMain(m *testing.M) { devdbtest.Main(m) }
//
//	func TestListsRooms(t *testing.T) {
//		t.Parallel()
//		db := devdbtest.New(t)
//		conn := db.Conn(t)
//		…
//	}
//
// # Promises
//
//   - DT1: a binary whose tests ask for no database starts no server.
//   - DT2: each New is a fresh database, empty or a copy of a Template, that no
//     other test sees; it is dropped, with its connections, when the test ends.
//   - DT3: a template is made once per binary, by whichever test asks first.
//   - DT4: Main leaves no server, no database and no goroutine behind; a leaked
//     goroutine fails the binary.
//   - DT5: a missing PostgreSQL fails the test with a sentence; nothing is
//     skipped.
//   - DT6: no file is left either. os.TempDir is a directory of the binary's own,
//     which Main removes; that of a binary that was killed is removed by the next
//     one, that of a living one never.
//
// # Ownership
//
// The server belongs to Main, a database to the test that asked for it. Roles
// belong to the whole server: tests that make roles need names of their own.
//
// The server is quick and forgetful (fsync off), so that tests are; a test of
// crashes starts its own with devdb.Start. WEIR_TEST_PG=16 asks for that version,
// which is downloaded if this machine lacks it; WEIR_TEST_SETTINGS has more settings
// of the server, "max_prepared_transactions=16"; TEST_DATABASE_URL, a superuser's
// URL, replaces the private server.
//
// # What it does not do
//
// It makes no schema and no roles; setup functions of the rooms do. It is for
// tests only and must not reach the binary.
package devdbtest
