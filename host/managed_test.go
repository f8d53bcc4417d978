package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/host"
	"weir/host/config"
	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
	"weir/reactor/changelog"
)

// TestManagedPostgres: whoever set weir up is no superuser, as at those who rent
// PostgreSQL out: it may create roles, schemas in this database, and tables. There
// are no event triggers and, of weir's own making, none that fire always. weir
// starts, says what it lacks, and is live; definitions are compared each second.
func TestManagedPostgres(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	owner, weir, guest := db.Name+"_owner", db.Name+"_weir", db.Name+"_guest"
	db.Exec(t, `create role `+owner+` login createrole nosuperuser;
		grant create on database `+db.Name+` to `+owner+`; grant all on schema public to `+owner)
	t.Cleanup(func() {
		all := strings.Join([]string{weir, guest, owner}, ", ")
		db.Exec(t, `drop owned by `+all+` cascade; drop role `+all)
	})
	as := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), db.As(owner, ""))
		if err == nil {
			_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
			_ = conn.Close(context.WithoutCancel(t.Context()))
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	as(text(t, "../examples/chat/schema.sql") + text(t, "../examples/chat/seed.sql"))
	setup := changelog.SetupConfig{AdminURL: db.As(owner, ""), Weir: weir, Guest: guest, Parts: host.Parts()}
	says := func(fs []changelog.Finding, err error, want ...string) {
		t.Helper()
		var lines []string
		for _, f := range fs {
			lines = append(lines, f.String())
		}
		all := strings.Join(lines, "\n")
		for _, w := range want {
			if err != nil || !strings.Contains(all, w) {
				t.Errorf("want %q of (%v)\n%s", w, err, all)
			}
		}
	}
	fs, err := changelog.Setup(t.Context(), setup)
	says(fs, err, "ok change log", "degraded: no event triggers, definitions are compared each second: as a superuser: weir db setup")
	as(`grant usage on schema public to ` + guest + `;
		grant select, insert, update, delete on all tables in schema public to ` + guest + `;
		grant usage on all sequences in schema public to ` + guest)

	s := hosttest.Start(t, hosttest.Config{
		Database: &hosttest.Database{URL: config.Secret(db.As(weir, "")), Guest: config.Secret(db.As(guest, ""))},
		Plugins:  []string{"../examples/chat/plugin"},
	})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	stream.result(t)
	as(`insert into messages (room_id, author, body) values (1, 'bob', 'without a superuser')`)
	if got := stream.result(t).Rows[0]["body"]; got != "without a superuser" {
		t.Errorf("after an insert: %v", got)
	}
	if status, body := onHost(t, "POST", s.URL+"/v1/call/messages.post?as=ann", "localhost", "", `{"room":1,"body":"by a mutation"}`); status != 200 {
		t.Errorf("a mutation: %d %s", status, body)
	}
	if got := stream.result(t).Rows[0]["body"]; got != "by a mutation" {
		t.Errorf("after a mutation: %v", got)
	}
	// A definition changes, and no row: the result follows nevertheless.
	as(`alter table messages alter column body type text using upper(body)`)
	if got := stream.result(t).Rows[0]["body"]; got != "BY A MUTATION" {
		t.Errorf("after DDL: %v", got)
	}
	// The tables are captured by weir's role, which may not make triggers fire
	// always; the owner, asked once more, does.
	fs, err = changelog.Check(t.Context(), db.As(weir, ""), "public.messages")
	says(fs, err, "degraded: public.messages is captured, but not writes under session_replication_role = replica: as the table's owner")
	fs, err = changelog.Setup(t.Context(), setup)
	says(fs, err, "ok public.messages is captured", "ok public.rooms is captured")
	as(`delete from messages where body = 'BY A MUTATION'`)
	if got := stream.result(t).Rows[0]["body"]; got != "WITHOUT A SUPERUSER" {
		t.Errorf("after the second setup: %v", got)
	}
}
