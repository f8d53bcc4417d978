package host_test

import (
	"testing"
	"time"

	"weir/host"
)

// oracleTold are results that cannot be kept live any more: a change of
// definitions, and a write that nobody sees.
var oracleTold = []oracleCase{
	{
		"a partition without a grant", `create table kinds (id int, k int) partition by list (k); create table kinds1 partition of kinds for values in (1)`,
		`select id from kinds`,
		[]string{`create table kinds2 partition of kinds for values in (2); revoke all on kinds2 from weir`, `insert into kinds2 values (2, 2)`, `insert into kinds2 values (3, 2)`},
	},
	{
		"a trigger that somebody disabled", `create table muted (id int primary key)`, `select id from muted`,
		[]string{`alter table muted disable trigger weir_insert`, `insert into muted values (1)`},
	},
	{
		"a second parent", `create table parent1 (id int, t text); create table parent2 (id int, t text); create table child1 () inherits (parent1)`,
		`select id from parent1`,
		[]string{`alter table child1 inherit parent2`, `insert into child1 values (1, 'x')`},
	},
	{
		"a view of a materialized view", `create table source (id int primary key); create materialized view copied as select id from source; create view shown as select id from source`,
		`select id from shown`,
		[]string{`create or replace view shown as select id from copied`, `insert into source values (1); refresh materialized view copied`},
	},
	{
		"a view with a clock", `create table timed (id int primary key, at timestamptz); create view current1 as select id from timed`, `select id from current1`,
		[]string{`create or replace view current1 as select id from timed where at > now()`, `insert into timed values (1, now() + interval '1 second')`},
	},
	{
		"a policy with a clock", `create table lapsing (id int primary key, at timestamptz); alter table lapsing enable row level security; create policy a on lapsing using (true)`, `select id from lapsing`,
		[]string{`alter policy a on lapsing using (at > now())`, `insert into lapsing values (1, now() + interval '1 second')`},
	},
	{
		"a policy with a function that reads", `create table guarded (id int primary key); create table guards (id int); create function guard_it(x int) returns boolean language plpgsql stable as 'begin return exists (select from guards where id = x); end';
			alter table guarded enable row level security; create policy a on guarded using (true); insert into guarded values (1); grant select on guards to weir_guest`, `select id from guarded`,
		[]string{`alter policy a on guarded using (guard_it(id))`, `insert into guards values (1)`, `delete from guards`},
	},
	{
		"a function that reads now", `create table counted1 (id int primary key); create table hidden1 (n int); grant select on hidden1 to weir_guest; create function number1(x int) returns int language sql immutable as 'select x'; insert into counted1 values (1)`,
		`select id, number1(id) as n from counted1`,
		[]string{`create or replace function number1(x int) returns int language plpgsql stable as 'begin return (select count(*) from hidden1); end'`, `insert into hidden1 values (1)`, `insert into hidden1 values (1)`},
	},
	{
		"a column that is gone", `create table shrunk (id int primary key, t text)`, `select id, t from shrunk`,
		[]string{`alter table shrunk drop column t`, `insert into shrunk values (1)`},
	},
	{
		"a table that is gone", `create table passing (id int primary key)`, `select id from passing`,
		[]string{`drop table passing`, `select 1`},
	},
	{
		"a grant that is gone", `create table closed1 (id int primary key)`, `select id from closed1`,
		[]string{`revoke select on closed1 from weir_guest`, `insert into closed1 values (1)`},
	},
	{
		"a table that is not logged by PostgreSQL", `create table unlogged1 (id int primary key)`, `select id from unlogged1`,
		[]string{`alter table unlogged1 set unlogged`, `insert into unlogged1 values (1)`},
	},
}

// W9, W10, C10: whoever cannot be shown the truth any more is told, and nobody
// holds an old answer as if it were live.
func TestOracleToldCases(t *testing.T) {
	t.Parallel()
	o, client := startCases(t, oracleTold)
	for i, c := range oracleTold {
		for _, sql := range c.changes {
			o.server.SQL(t, sql)
			why, status := o.told(client, i)
			if why != "" {
				t.Errorf("%s, after %s: nobody is told: %s", c.name, sql, why)
			}
			t.Logf("%s: %s after %s", c.name, status, sql)
		}
	}
}

// told waits until a client holds what is right for a question, or is told that it
// does not. It returns what is wrong after a while.
func (o *wireOracle) told(client *wireClient, question int) (why, status string) {
	answers := host.Answers(o.t, o.plain, o.questions)
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for {
		client.mu.Lock()
		sub := client.subs[question]
		why, status = sub.compare(&answers[question]), sub.status
		client.mu.Unlock()
		if why == "" || status == "stale" || status == "error" {
			return "", status
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return why, status
		}
	}
}
