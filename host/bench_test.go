package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// BenchmarkCommitToClient is N1: from just before a commit to its bytes at the
// client, on an idle system, for one point query. Beside it, in turn in the same
// run: the polling floor (a bare program that reads the log at the same interval,
// runs the same SQL with pgx and writes to a loopback socket) and the waking
// floor (the same by NOTIFY, which would cost the application four fifths of its
// write throughput).
func BenchmarkCommitToClient(b *testing.B) {
	s := hosttest.Start(b, hosttest.Config{
		Schema: todos + `create table notified (id int primary key, title text not null);
			insert into notified values (1, 'first');
			create function tell() returns trigger language plpgsql as $$ begin perform pg_notify('told', ''); return null; end $$;
			create trigger tell after update on notified for each statement execute function tell();
			grant select on weir.log to public; grant usage on schema weir to public;`,
		Modules: map[string][]byte{"todos.wasm": module(byList)},
	})
	writer := s.DB.Conn(b)
	client := benchClient(b, s.URL+"/v1/q/todos.list?list=1")
	polling := floor(b, s, pollingFloor)
	waking := floor(b, s, wakingFloor)

	var weir, poll, wake []time.Duration
	n := 0
	for b.Loop() {
		n++
		title := fmt.Sprintf("number %d.", n)
		weir = append(weir, commitTo(b, writer, `update todos set title = $1 where id = 1`, title, client))
		title = fmt.Sprintf("floor %d.", n)
		poll = append(poll, commitTo(b, writer, `update todos set title = $1 where id = 2`, title, polling))
		title = fmt.Sprintf("wake %d.", n)
		wake = append(wake, commitTo(b, writer, `update notified set title = $1 where id = 1`, title, waking))
	}
	report := func(name string, list []time.Duration) {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2].Seconds()*1e3, name+"-p50-ms")
		b.ReportMetric(list[len(list)*99/100].Seconds()*1e3, name+"-p99-ms")
	}
	b.ReportMetric(0, "ns/op")
	report("weir", weir)
	report("poll", poll)
	report("wake", wake)
}

// commitTo writes a row and returns how long it took until the client saw it.
// Between two writes the system is idle for a time that is no multiple of the
// poll's.
func commitTo(b *testing.B, writer *pgx.Conn, sql, title string, client <-chan []byte) time.Duration {
	b.Helper()
	pause := time.NewTimer(11*time.Millisecond + time.Duration(len(title)*137%5000)*time.Microsecond)
	<-pause.C
	began := time.Now()
	if _, err := writer.Exec(b.Context(), sql, title); err != nil {
		b.Fatal(err)
	}
	for got := range client {
		if strings.Contains(string(got), title) {
			return time.Since(began)
		}
	}
	b.Fatal("the client's connection ended")
	return 0
}

// benchClient reads a stream in pieces as they arrive.
func benchClient(b *testing.B, url string) <-chan []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	out := make(chan []byte, 1024)
	go pieces(resp.Body.Read, out)
	b.Cleanup(func() { resp.Body.Close() })
	return out
}

func pieces(read func([]byte) (int, error), out chan<- []byte) {
	defer close(out)
	for {
		buf := make([]byte, 64<<10)
		n, err := read(buf)
		if n > 0 {
			out <- buf[:n]
		}
		if err != nil {
			return
		}
	}
}

// floor runs a bare program that writes to one end of a loopback connection and
// returns what arrives at the other.
func floor(b *testing.B, s *hosttest.Server, run func(context.Context, *pgx.Conn, net.Conn) error) <-chan []byte {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	conn := s.DB.Conn(b)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx, conn, near); err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	}()
	out := make(chan []byte, 1024)
	go pieces(far.Read, out)
	b.Cleanup(func() { cancel(); <-done; near.Close(); far.Close() })
	return out
}

const floorSQL = `select id, title, done from todos where list = $1 order by id`

// pollingFloor reads the log each 5 ms.
func pollingFloor(ctx context.Context, conn *pgx.Conn, to net.Conn) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	seen := -1
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var n int
		err := conn.QueryRow(ctx, `select count(*) from weir.log where xid >= pg_snapshot_xmin(pg_current_snapshot())::text::xid8
			or pg_visible_in_snapshot(xid, pg_current_snapshot())`).Scan(&n)
		if err != nil {
			return err
		}
		if n == seen {
			continue
		}
		seen = n
		if err := send(ctx, conn, to, floorSQL, 2); err != nil {
			return err
		}
	}
}

// wakingFloor waits for a notification.
func wakingFloor(ctx context.Context, conn *pgx.Conn, to net.Conn) error {
	if _, err := conn.Exec(ctx, "listen told"); err != nil {
		return err
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		if err := send(ctx, conn, to, `select id, title, true from notified where id = $1`, 1); err != nil {
			return err
		}
	}
}

// send runs the SQL and writes its rows.
func send(ctx context.Context, conn *pgx.Conn, to net.Conn, sql string, arg int) error {
	rows, err := conn.Query(ctx, sql, arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	var out []byte
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		out = fmt.Appendf(out, "%v\n", values)
	}
	if _, err := to.Write(out); err != nil {
		return err
	}
	return rows.Err()
}

// BenchmarkGuestOverStatement is N20's last part: what a guest adds to a one-shot
// request of the same statement. Both are asked in turn, over HTTP, on a cached
// connection; the statement's group and the guest's are new each time, so that
// both run.
func BenchmarkGuestOverStatement(b *testing.B) {
	s := hosttest.Start(b, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"todos.wasm": withGuest()},
	})
	var statement, guest []time.Duration
	n := 0
	for b.Loop() {
		n++
		statement = append(statement, ask(b, fmt.Sprintf("%s/v1/q/todos.list?list=%d", s.URL, n)))
		guest = append(guest, ask(b, fmt.Sprintf("%s/v1/q/todos.guest?list=%d", s.URL, n)))
	}
	slices.Sort(statement)
	slices.Sort(guest)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(statement[n/2].Microseconds()), "statement-p50-µs")
	b.ReportMetric(float64(guest[n/2].Microseconds()), "guest-p50-µs")
}

func ask(b *testing.B, url string) time.Duration {
	b.Helper()
	began := time.Now()
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return time.Since(began)
}

// withGuest is a module whose first function is the statement and whose second
// is a guest function that asks for the same statement by handle.
func withGuest() []byte {
	index := 0
	list := []abi.Field{{Name: "list", Schema: abi.Schema{Type: "integer"}}}
	m := abi.Manifest{
		ABI: abi.Version, Name: "todos", Version: "1",
		Statements: []abi.Statement{{SQL: byList.sql, Key: byList.key}},
		Functions: []abi.Function{
			{Name: "todos.list", Kind: abi.Query, Fields: list, Statement: &index, Access: abi.Access{Public: true}},
			{Name: "todos.guest", Kind: abi.Query, Fields: list, Uses: []int{0}, Access: abi.Access{Public: true}},
		},
	}
	// query(0, input, length) → handle. The input array is the argument array.
	call := wasmtest.Join(wasmtest.I32(0), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(0), wasmtest.PackHandle())
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Imports: []wasmtest.Import{wasmtest.Host(abi.ImportQuery, "iii:i")}, Call: call,
	}.Bytes()
}
