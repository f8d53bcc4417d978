package changelog

import (
	"context"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// crash kills a backend of the test's own server with SIGKILL. Only a number that
// the server itself gave for our connection is used.
func crash(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(conn)
	var pid string
	if err := conn.QueryRow(ctx, `select pg_backend_pid()::text`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(pid)
	if err != nil || n < 2 {
		t.Fatalf("backend %q: %v", pid, err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
