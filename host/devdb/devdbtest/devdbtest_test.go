package devdbtest

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) {
	if os.Getenv(playEnv) != "" {
		AtExit(playBinary)
	}
	Main(m)
}

func count(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	a, b := New(t), New(t)
	a.Exec(t, "CREATE TABLE rooms (id int); INSERT INTO rooms VALUES (1)")
	if n := count(t, b.Conn(t), "SELECT count(*) FROM pg_class WHERE relname = 'rooms'"); n != 0 {
		t.Errorf("the other database sees the table of the first")
	}
	if n := count(t, a.Conn(t), "SELECT count(*) FROM rooms"); n != 1 {
		t.Errorf("got %d rows, want 1", n)
	}
}

func TestDatabaseIsDroppedThoughConnectionsAreOpen(t *testing.T) {
	t.Parallel()
	outer := New(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := New(t)
		name = db.Name
		conn, err := pgx.Connect(context.Background(), db.URL)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			// Ends when DROP … WITH (FORCE) ends the session, or goleak tells.
			_, _ = conn.Exec(context.Background(), "SELECT pg_sleep(60)")
			_ = conn.Close(context.Background())
		}()
	})
	var n int
	err := outer.Conn(t).QueryRow(context.Background(), "SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("database %s is still there (%d, %v)", name, n, err)
	}
}

func TestTemplateIsMadeOnceAndCopied(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	for range 3 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			Template(t, "rooms", func(url string) error {
				made.Add(1)
				return exec(context.Background(), url, "CREATE TABLE rooms (id int); INSERT INTO rooms VALUES (1), (2)")
			})
			db := New(t, From("rooms"))
			db.Exec(t, "DELETE FROM rooms WHERE id = $1", 1)
			if n := count(t, db.Conn(t), "SELECT count(*) FROM rooms"); n != 1 {
				t.Errorf("got %d rows, want 1", n)
			}
			if got := made.Load(); got != 1 {
				t.Errorf("setup ran %d times, want 1", got)
			}
		})
	}
}

func TestFailedTemplateFailsEveryTestThatAsks(t *testing.T) {
	t.Parallel()
	s, err := shared.start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for range 2 {
		if err := s.makeTemplate(context.Background(), "bad", func(string) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
	if _, err := s.template("never made"); err == nil {
		t.Errorf("an unknown template is not refused")
	}
}

func TestAsConnectsAsAnotherRole(t *testing.T) {
	t.Parallel()
	db := New(t)
	role := db.Name + "_role"
	db.Exec(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'")
	conn, err := pgx.Connect(context.Background(), db.As(role, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	var user, database string
	if err := conn.QueryRow(context.Background(), "SELECT current_user, current_database()").Scan(&user, &database); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if user != role || database != db.Name {
		t.Errorf("connected as %s to %s, want %s to %s", user, database, role, db.Name)
	}
	db.Exec(t, "DROP ROLE "+role)
}

func TestWithUserReplacesEveryFormOfTheUser(t *testing.T) {
	t.Parallel()
	f := func(from, want string) {
		t.Helper()
		if got := withUser(from, "ann", "x"); got != want {
			t.Errorf("withUser(%s) = %s, want %s", from, got, want)
		}
	}
	f("postgres://root:pw@db:5432/a?sslmode=disable", "postgres://ann:x@db:5432/a?sslmode=disable")
	f("postgres:///a?host=/tmp&user=root&password=pw", "postgres://ann:x@/a?host=%2Ftmp")
}
