package host

import (
	"context"
	"testing"
	"time"

	"weir/abi"
	"weir/host/db"
	"weir/host/devdb/devdbtest"
	"weir/host/tenant"
	"weir/reactor"
	"weir/reactor/changelog"
)

// TestDefinitionsMakeReadSetsVoid: R4. What was derived before a change of
// definitions, or before changes were lost, is derived again at its next use:
// else its group would run for ever, or be matched by what it read once.
// Cases: 104.
func TestDefinitionsMakeReadSetsVoid(t *testing.T) {
	t.Parallel()
	devdbtest.Template(t, "weir_oracle", setUp)
	server := devdbtest.New(t, devdbtest.From("weir_oracle"))
	server.Exec(t, `create table a (id int primary key); create table b (id int primary key); create view v as select id from a;
		grant select on a, b, v to weir_guest`)
	conn := server.Conn(t)
	for name, batch := range map[string]func(xid uint64) reactor.Batch{
		"told": func(xid uint64) reactor.Batch {
			return reactor.Batch{Changes: []reactor.Change{{XID: xid, Op: reactor.DDL}}}
		},
		"lost": func(uint64) reactor.Batch { return reactor.Batch{Resync: true} },
	} {
		t.Run(name, func(t *testing.T) {
			database, err := db.Open(t.Context(), db.Config{URL: server.As("weir_guest", ""), EpochExpr: changelog.EpochExpr})
			if err != nil {
				t.Fatal(err)
			}
			defer database.Close()
			statement, err := database.Prepare(t.Context(), []abi.Statement{{SQL: `select id from v where id = 1`}}, 0, db.Read)
			if err != nil {
				t.Fatal(err)
			}
			var xid uint64
			if _, err := conn.Exec(t.Context(), `begin; create or replace view v as select id from b`); err != nil {
				t.Fatal(err)
			}
			if err := conn.QueryRow(t.Context(), `select pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), `commit`); err != nil {
				t.Fatal(err)
			}
			h := &Host{reactor: reactor.New(reactor.Config{})}
			standing(h, &space{tenant: &tenant.Tenant{Name: tenant.DefaultName}, rooms: &rooms{database: database}})
			h.loader = newLoader(h)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := h.deliver(ctx, batch(xid)); err != nil {
				t.Fatal(err)
			}
			if _, err := database.Wave(ctx, []db.Query{{Statement: statement}}); err != nil {
				t.Fatal(err)
			}
			if !statement.Derived().Visible(xid) {
				t.Errorf("the read set is of %s, the view of transaction %d", statement.Derived(), xid)
			}
		})
	}
}
