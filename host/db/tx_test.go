package db

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/abi"
)

func prepareWrite(t testing.TB, d *DB, sql string) *Statement {
	t.Helper()
	s, err := d.Prepare(t.Context(), []abi.Statement{{SQL: sql}}, 0, Write)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

func TestWriteTxCommits(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	insert := prepareWrite(t, d, `insert into messages (room_id, body) values ($room, $body) returning id, body`)
	update := prepareWrite(t, d, `update messages set body = 'x' where room_id = $room`)
	read := prepare(t, d, `select count(*) as n from messages where body = $body`)
	tx, err := d.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	a, err := tx.Exec(t.Context(), Query{Statement: insert, Args: []abi.Value{abi.Int(70), abi.Text("hi")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsJSON(t, a); got != `[{"id":1001,"body":"hi"}]` || a.Affected != 1 {
		t.Errorf("returning %s, affected %d", got, a.Affected)
	}
	answers, err := tx.Query(t.Context(), []Query{{Statement: read, Args: []abi.Value{abi.Text("hi")}}, {Statement: update, Args: []abi.Value{abi.Int(7)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsJSON(t, answers[0]); got != `[{"n":1}]` || answers[1].Affected != 11 {
		t.Errorf("own write: %s, affected %d", got, answers[1].Affected)
	}
	xid, err := tx.Commit(t.Context())
	if err != nil || xid == 0 {
		t.Fatalf("Commit = %d, %v", xid, err)
	}
	var same bool
	if err := server.Conn(t).QueryRow(t.Context(), `select xmin::text = $1 from messages where room_id = 70`, itoa(xid)).Scan(&same); err != nil || !same {
		t.Errorf("the row is not of transaction %d: %v", xid, err)
	}

	tx, err = d.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Query(t.Context(), []Query{{Statement: read, Args: []abi.Value{abi.Text("hi")}}}); err != nil {
		t.Fatal(err)
	}
	if xid, err := tx.Commit(t.Context()); xid != 0 || err != nil {
		t.Errorf("nothing was written: %d, %v", xid, err)
	}
}

func itoa(n uint64) string { return abi.Uint(n).String() }

func TestWriteTxRollsBackOnClose(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	insert := prepareWrite(t, d, `insert into rooms (id, title) values ($id, 'x')`)
	tx, err := d.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), Query{Statement: insert, Args: []abi.Value{abi.Int(77)}}); err != nil {
		t.Fatal(err)
	}
	tx.Close()
	tx.Close()
	if _, err := tx.Commit(t.Context()); err == nil {
		t.Error("a closed transaction commits")
	}
	if got := rowsJSON(t, one(t, d, prepare(t, d, `select id from rooms where id = 77`))); got != `[]` {
		t.Errorf("the row is there: %s", got)
	}
}

func TestSerializationFailureIsConflict(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	update := prepareWrite(t, d, `update rooms set title = 'mine' where id = $id`)
	read := prepare(t, d, `select title from rooms where id = $id`)
	tx, err := d.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	id := []abi.Value{abi.Int(1)}
	if _, err := tx.Query(t.Context(), []Query{{Statement: read, Args: id}}); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, `update rooms set title = 'theirs' where id = 1`)
	_, err = tx.Exec(t.Context(), Query{Statement: update, Args: id})
	var own *Error
	if !errors.Is(err, ErrConflict) || !Retryable(err) || !errors.As(err, &own) || own.Code() != abi.Conflict {
		t.Fatalf("Exec = %v", err)
	}
	if _, err := tx.Commit(t.Context()); !errors.Is(err, ErrConflict) {
		t.Errorf("Commit after a conflict = %v", err)
	}
}

// F11: a connection lost in COMMIT: the server is asked what became of it.
// Cases: 94.
func TestLostCommitIsResolved(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	insert := prepareWrite(t, d, `insert into rooms (id, title) values ($id, 'x')`)
	f := func(id int64, cut func(tx *WriteTx)) (uint64, error) {
		t.Helper()
		tx, err := d.Write(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		if _, err := tx.Exec(t.Context(), Query{Statement: insert, Args: []abi.Value{abi.Int(id)}}); err != nil {
			t.Fatal(err)
		}
		cut(tx)
		return tx.Commit(t.Context())
	}
	// The server ended the transaction before COMMIT got there.
	_, err := f(80, func(tx *WriteTx) {
		server.Exec(t, `select pg_terminate_backend($1)`, tx.s.c.server.PID)
		conn := server.Conn(t)
		for gone := false; !gone; {
			if err := conn.QueryRow(t.Context(), `select not exists (select from pg_stat_activity where pid = $1)`, tx.s.c.server.PID).Scan(&gone); err != nil {
				t.Fatal(err)
			}
		}
	})
	var own *Error
	if !errors.Is(err, ErrConflict) || !Retryable(err) || !errors.As(err, &own) || own.Code() != abi.Conflict {
		t.Errorf("a transaction that was ended: %v", err)
	}
	// COMMIT got through, its answer did not.
	got := func(tx *WriteTx) {
		tx.s.c.run(commit, nil, 0)
		tx.s.c.sync()
		if err := tx.s.c.flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.s.c.read(nil); err != nil {
			t.Fatal(err)
		}
		tx.s.c.net.Close()
	}
	xid, err := f(81, got)
	if err != nil || xid == 0 {
		t.Errorf("a transaction that committed: %d, %v", xid, err)
	}
	// C4: a server with another history, and one that is gone. Nobody may be told
	// that it is safe to do it again.
	unknown := func(name string, id int64, change func()) {
		t.Helper()
		_, err := f(id, func(tx *WriteTx) { got(tx); change() })
		if !errors.Is(err, ErrUnknownOutcome) || Retryable(err) || !errors.As(err, &own) || own.Code() != abi.OutcomeUnknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown("another history", 82, func() { d.config.EpochExpr = func(int) string { return "'another'" } })
	d.resolveTimeout = 50 * time.Millisecond
	unknown("no server", 83, func() {
		gone := d.pool.config.Copy()
		gone.Host, gone.Fallbacks = "/nowhere", nil
		d.pool.config = gone
	})
}

// R4: DDL that no change has told of yet. The statement worked before, so the
// transaction is to be tried again, and then it works.
func TestStatementIsStaleOnce(t *testing.T) {
	t.Parallel()
	d, server := start(t, `create table things (id int primary key, state text not null default 'open');
		insert into things values (1), (2); grant all on things to weir_test`)
	exec := func(s *Statement, args ...abi.Value) error {
		t.Helper()
		tx, err := d.Write(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		if _, err = tx.Exec(t.Context(), Query{Statement: s, Args: args}); err == nil {
			_, err = tx.Commit(t.Context())
		}
		return err
	}
	look := func(s *Statement, args ...abi.Value) error {
		t.Helper()
		tx, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		answers, err := tx.Query(t.Context(), []Query{{Statement: s, Args: args}})
		if err == nil && answers[0].Err == nil {
			return tx.Finish(t.Context())
		}
		return errors.Join(err, answers[0].Err)
	}
	f := func(name, ddl string, run func() error) {
		t.Helper()
		if err := run(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		server.Exec(t, ddl)
		if err := run(); !errors.Is(err, ErrUnstable) || !Retryable(err) {
			t.Errorf("%s: after %s: %v", name, ddl, err)
		}
		if err := run(); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
	}
	star := prepareWrite(t, d, `update things set id = id where id = $id returning *`)
	f("a column more", `alter table things add column note text`, func() error { return exec(star, abi.Int(1)) })
	set := prepareWrite(t, d, `update things set state = $state where id = 1`)
	f("another type of a parameter", `alter table things alter column state drop default,
		alter column state type status using state::status`, func() error { return exec(set, abi.Text("closed")) })
	all := prepare(t, d, `select * from things order by id`)
	f("read", `alter table things add column more int`, func() error { return look(all) })

	other := prepareWrite(t, d, `update things set id = id where id = 1 returning *`)
	server.Exec(t, `alter table things add column other int`)
	if err := exec(other); !errors.Is(err, ErrUnstable) {
		t.Errorf("on a connection that does not know the statement: %v", err)
	}
	if err := exec(other); err != nil {
		t.Errorf("on a connection that does not know the statement, again: %v", err)
	}

	// What does not come from DDL is told, with PostgreSQL's own error.
	cast := prepareWrite(t, d, `update things set note = ($name::text)::regclass::text`)
	first, second := exec(cast, abi.Text("nothing")), exec(cast, abi.Text("nothing"))
	var own *Error
	if !errors.Is(first, ErrUnstable) || errors.Is(second, ErrUnstable) || !errors.As(second, &own) ||
		own.Code() != abi.SQLError || own.State() != "42P01" {
		t.Errorf("got %v, then %v", first, second)
	}
	server.Exec(t, `revoke update on things from weir_test`)
	if err := exec(set, abi.Text("open")); errors.Is(err, ErrUnstable) || err == nil {
		t.Errorf("a right that is gone: %v", err)
	}
}

func TestWriteStatementsAreChecked(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	prepareWrite(t, d, `update messages set sent_at = now() where id = $id`)
	prepareWrite(t, d, `select id from messages where sent_at < now() limit 1`)
	for _, sql := range []string{`create table x (a int)`, `commit`, `set role postgres`, `copy messages to stdout`} {
		if _, err := d.PrepareSQL(t.Context(), sql, Write); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "begins with") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestFailedStatementAbortsReadTx(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	bad, good := prepare(t, d, `select 1 / $n::int as x from rooms`), prepare(t, d, `select id from rooms where id = 1`)
	tx, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	answers, err := tx.Query(t.Context(), []Query{{Statement: good}, {Statement: bad, Args: []abi.Value{abi.Int(0)}}, {Statement: good}})
	if err != nil {
		t.Fatal(err)
	}
	if answers[0].Err != nil || answers[1].Err == nil || answers[2].Err == nil {
		t.Errorf("errors: %v, %v, %v", answers[0].Err, answers[1].Err, answers[2].Err)
	}
	if _, err := tx.Query(t.Context(), []Query{{Statement: good}}); err == nil {
		t.Error("an aborted transaction answers")
	}
	if err := tx.Finish(t.Context()); err == nil {
		t.Error("an aborted transaction finishes well")
	}
}

func TestNestAttachesRowsInOneTransaction(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	all := []abi.Statement{
		{SQL: `select id, title from rooms where id <= $max order by id`, Key: []string{"id"}, Nest: []abi.Nest{{Name: "messages", On: "id", Statement: 1, Column: "room_id"}}},
		{SQL: `select room_id, author, body from messages where room_id = any($rooms) and id < 30 order by id desc`, Nest: []abi.Nest{{Name: "user", On: "author", Statement: 2, Column: "id"}}},
		{SQL: `select id::int, name from users where id = any($ids) and name <> 'user 2'`},
	}
	s, err := d.Prepare(t.Context(), all, 0, Read)
	if err != nil {
		t.Fatal(err)
	}
	a := one(t, d, s, abi.Int(2))
	want := `[{"id":1,"title":"room 1","messages":[{"room_id":1,"author":1,"body":"body 27","user":[{"id":1,"name":"user 1"}]},` +
		`{"room_id":1,"author":1,"body":"body 18","user":[{"id":1,"name":"user 1"}]},{"room_id":1,"author":1,"body":"body 9","user":[{"id":1,"name":"user 1"}]}]},` +
		`{"id":2,"title":"room 2","messages":[{"room_id":2,"author":2,"body":"body 28","user":[]},{"room_id":2,"author":2,"body":"body 19","user":[]},` +
		`{"room_id":2,"author":2,"body":"body 10","user":[]},{"room_id":2,"author":2,"body":"body 1","user":[]}]}]`
	if got := rowsJSON(t, a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(a.Reads) != 3 {
		t.Errorf("reads of %d tables", len(a.Reads))
	}
	if got := a.Rows.Value(0, 2).String(); !strings.HasPrefix(got, `[[1,1,"body 27",[[1,"user 1"]]],`) {
		t.Errorf("as a guest sees it: %s", got)
	}
	if tables := s.Tables(); len(tables) != 3 {
		t.Errorf("tables = %+v", tables)
	}
	tx, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	answers, err := tx.Query(t.Context(), []Query{{Statement: s, Args: []abi.Value{abi.Int(0)}}, {Statement: s, Args: []abi.Value{abi.Int(2)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsJSON(t, answers[0]) + rowsJSON(t, answers[1]); got != "[]"+want {
		t.Errorf("in a read transaction: %s", got)
	}
	f := func(nest abi.Nest, want string) {
		t.Helper()
		all[0].Nest = []abi.Nest{nest}
		if _, err := d.Prepare(t.Context(), all, 0, Read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nest %+v: %v", nest, err)
		}
	}
	f(abi.Nest{Name: "m", On: "no", Statement: 1, Column: "room_id"}, `column "no"`)
	f(abi.Nest{Name: "m", On: "id", Statement: 1, Column: "no"}, `child's column "no"`)
	f(abi.Nest{Name: "title", On: "id", Statement: 1, Column: "room_id"}, "a column of that name")
	f(abi.Nest{Name: "m", On: "title", Statement: 1, Column: "room_id"}, "different types")
	f(abi.Nest{Name: "m", On: "id", Statement: 0, Column: "id"}, "more than 4 deep")
	f(abi.Nest{Name: "m", On: "id", Statement: 9, Column: "id"}, "statement 9 does not exist")
}

func TestTablesWithoutGrantAreRefused(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create table secret (id int); revoke all on secret from weir_test`)
	refuses(t, d, `select id from secret`, "grant it to the role of the plugin's SQL")
}

// TestDerivesAgainWhileAllConnectionsAreTaken: W6. A transaction whose statement
// must be derived again holds a connection and needs another for that. When all
// connections are held so, nobody may wait for somebody who waits for him.
// Cases: 115.
func TestDerivesAgainWhileAllConnectionsAreTaken(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	d := open(t, server, Config{Connections: 2})
	insert := prepareWrite(t, d, `insert into rooms (id, title) values ($id, 'x')`)
	read := prepare(t, d, `select id from rooms where id = $id`)
	first, err := d.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	d.ForgetAll()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := first.Exec(ctx, Query{Statement: insert, Args: []abi.Value{abi.Int(77)}}); err != nil {
		t.Errorf("the mutation: %v", err)
	}
	if _, err := second.Query(ctx, []Query{{Statement: read, Args: []abi.Value{abi.Int(7)}}}); err != nil {
		t.Errorf("the query: %v", err)
	}
	if n := d.Stats().InUse; n != 2 {
		t.Errorf("%d connections are in use, want 2", n)
	}
	first.Close()
	second.Close()
	if s := d.Stats(); s.InUse != 0 || s.Idle > 2 {
		t.Errorf("the bound is 2: %+v", s)
	}
}
