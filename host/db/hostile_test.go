package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/abi"
)

// I1: no utility statement is prepared, as a query or as a mutation, and after all
// of them a session is as it was: its settings, its role, nothing that it listens
// to, no cursor, no lock.
// Cases: 44.
func TestUtilityStatementsLeaveTheSessionAsItWas(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	d := open(t, server, Config{Connections: 1})
	state := func() string {
		t.Helper()
		c, err := d.pool.take(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		defer d.pool.give(c)
		rows, err := c.query(t.Context(), `select pg_backend_pid(), current_user, session_user,
			(select string_agg(name || '=' || setting, ' ' order by name) from pg_settings),
			(select count(*) from pg_listening_channels()), (select count(*) from pg_cursors),
			(select count(*) from pg_locks where pid = pg_backend_pid() and locktype in ('advisory', 'tuple'))`)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(rows)
	}
	before := state()
	for _, sql := range []string{
		`set work_mem = '2GB'`, `set session statement_timeout = 0`, `set role postgres`, `set session authorization postgres`, `set transaction read write`, `reset all`, `reset role`,
		`begin`, `start transaction`, `commit`, `end`, `rollback`, `abort`, `savepoint a`, `release a`, `prepare transaction 'x'`, `commit prepared 'x'`,
		`listen x`, `unlisten *`, `notify x`, `lock table rooms`, `copy rooms to stdout`, `copy rooms from program 'id'`, `do 'begin end'`, `call p()`,
		`prepare x as select 1`, `execute x`, `deallocate all`, `declare c cursor with hold for select 1`, `fetch c`, `close c`, `discard all`, `discard plans`,
		`explain select 1`, `explain analyze delete from rooms`, `show all`, `load 'plpgsql'`, `vacuum`, `analyze`, `cluster`, `reindex table rooms`, `checkpoint`,
		`create table x (a int)`, `create table x as select 1`, `create temp table x (a int)`, `drop table rooms`, `alter table rooms add x int`, `alter role weir_test superuser`,
		`truncate rooms`, `grant all on rooms to public`, `comment on table rooms is 'x'`, `refresh materialized view x`, `security label on table rooms is 'x'`, `alter system set work_mem = '1GB'`,
		`select 1; commit`, `/* select */ commit`, `;commit`, "select 1\x00; commit", "commit -- select",
	} {
		for _, kind := range []Kind{Read, Write} {
			if _, err := d.PrepareSQL(t.Context(), sql, kind); err == nil {
				t.Errorf("%s is prepared (%v)", sql, kind)
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("the session was\n%s\nand is\n%s", before, after)
	}
}

// W7: whatever keeps PostgreSQL busy ends there at the caller's deadline: expressions
// that explode, sorts that spill, lists without an end.
// Cases: 50.
func TestHeavyStatementsEndAtTheDeadline(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	heavy := []string{
		`select count(*) as n from generate_series(1, 100000000) g where repeat('a', 40) || g ~ '^((a*)*)*\1\2b$'`,
		`select count(*) as n from generate_series(1, 100000000) g where repeat('ab', 2000) like repeat('%a', 400) || g`,
		`select max(h) as n from (select md5(g::text) as h, row_number() over (order by md5(g::text || 'x')) from generate_series(1, 100000000) g) x`,
		`select count(distinct md5(g::text)) as n from generate_series(1, 100000000) g`,
		`select count(*) as n from messages a, messages b, messages c, messages e where a.id + b.id + c.id + e.id in (` + strings.Repeat("-1, ", 9999) + `-2)`,
		`with recursive t as (select 1 as n union all select n + 1 from t) select count(*) as n from t`,
		`select sum(length(repeat(g::text, 1000000))) as n from generate_series(1, 100000000) g`,
		`select count(*) as n from generate_series(1, 100000000) a cross join generate_series(1, 100000000) b`,
	}
	for _, sql := range heavy {
		s := prepare(t, d, sql)
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		_, err := d.Wave(ctx, []Query{{Statement: s}})
		cancel()
		var own *Error
		if !errors.As(err, &own) || own.Code() != abi.Deadline {
			t.Errorf("%.80s: %v", sql, err)
		}
	}
	conn := server.Conn(t)
	end := time.Now().Add(10 * time.Second)
	for running := 1; running > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d statements still run on the server", running)
		}
		if err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where usename = 'weir_test' and datname = current_database() and state = 'active'`).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	if got := rowsJSON(t, one(t, d, prepare(t, d, `select 1 as one`))); got != `[{"one":1}]` {
		t.Errorf("then: %s", got)
	}
}

// W7: a transaction whose owner does nothing is ended by the server itself, behind
// every deadline of the host; it holds back neither VACUUM nor others, and its owner
// is told.
// Cases: 53.
func TestServerEndsAnIdleTransaction(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	d := open(t, server, Config{IdleTimeout: 100 * time.Millisecond, Connections: 1})
	s := prepare(t, d, `select id from rooms where id = $id`)
	ask := func(tx *ReadTx) error {
		answers, err := tx.Query(t.Context(), []Query{{Statement: s, Args: []abi.Value{abi.Int(1)}}})
		if err == nil {
			err = answers[0].Err
		}
		return err
	}
	tx, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if err := ask(tx); err != nil {
		t.Fatal(err)
	}
	conn := server.Conn(t)
	end := time.Now().Add(20 * time.Second)
	for open := 1; open > 0; {
		if time.Now().After(end) {
			t.Fatal("the transaction is still open")
		}
		if err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where usename = 'weir_test' and datname = current_database() and state like 'idle in%'`).Scan(&open); err != nil {
			t.Fatal(err)
		}
	}
	var own *Error
	if err := ask(tx); !errors.As(err, &own) || own.Code() != abi.Deadline && own.Code() != abi.Unavailable {
		t.Errorf("its owner is told %v", err)
	}
	tx.Close()
	if got := rowsJSON(t, one(t, d, s, abi.Int(1))); got != `[{"id":1}]` {
		t.Errorf("then: %s", got)
	}
}

// R7: an argument cannot bring the clock in: the words of PostgreSQL's types for the
// time of a run are refused, whatever the type that reads them.
// Cases: 39.
func TestArgumentsDoNotReadTheClock(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create type span as (a timestamptz, b text); create domain clock as time; grant usage on type span, clock to weir_test`)
	for kind, values := range map[string][]string{
		"date": {"now", "today", "tomorrow", " NOW "}, "timestamptz": {"now", "today", "Yesterday"}, "timestamp": {"now", "tomorrow"},
		"time": {"now", " Now", "NOW"}, "timetz": {"now"}, "clock": {"now"},
		"tstzrange": {"[now,)", "[2020-01-01,today]"}, "tsrange": {"(,\"now\"]"}, "daterange": {"[today,tomorrow)"},
		"tstzmultirange": {"{[now,)}"}, "span": {"(now,x)"}, "time[]": {"now"}, "timetz[]": {"_now"}, "tstzrange[]": {"[now,)"}, "span[]": {"(today,x)"},
	} {
		s, err := d.PrepareSQL(t.Context(), `select ($t::`+kind+`)::text as t`, Read)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, value := range values {
			args := abi.Text(value)
			if list, is := strings.CutSuffix(kind, "[]"); is && list != "" {
				args = abi.Array(args)
			}
			if a := one(t, d, s, args); a.Err == nil {
				t.Errorf("%s %q is %s", kind, value, a.Rows.AppendJSON(nil))
			}
		}
	}
	for kind, value := range map[string]string{
		"time": "04:05:06", "timetz": "04:05:06+02", "tstzrange": "[2020-01-01 00:00:00+00,infinity)", "daterange": "[2020-01-01,2020-02-01)", "text": "now",
		"varchar": "today", "span": "(2020-01-01 00:00:00+00,known)", "status": "open", "tsvector": "'now'", "interval": "1 day",
	} {
		s, err := d.PrepareSQL(t.Context(), `select ($t::`+kind+`)::text as t`, Read)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if a := one(t, d, s, abi.Text(value)); a.Err != nil {
			t.Errorf("%s %q: %v", kind, value, a.Err)
		}
	}
}
