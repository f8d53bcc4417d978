package scenarios

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/auth"
	"weir/host/hosttest"
)

const (
	orgSecret = "a secret of the scenarios, long enough for HS256"
	orgNotes  = `select id, body from notes where org_id = %s order by id desc limit 10`
	orgAuth   = `[auth]
claims = { org = "org" }
[[auth.keys]]
issuer = "https://id.test"
audience = "weir"
hs256 = "` + orgSecret + `"
`
)

// member is a caller with a token of an org.
func member(t *testing.T, name, org string) who {
	t.Helper()
	now := time.Now()
	token, err := auth.Mint([]byte(orgSecret), map[string]any{
		"iss": "https://id.test", "aud": "weir", "sub": name, "org": org, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return who{name: org, token: token} // what he may see is what his org may
}

// orgOf is an org and its clients.
type orgOf struct {
	name    string
	notes   *history
	clients []*client
}

func (o *orgOf) post(body string) string {
	return fmt.Sprintf(`insert into notes (org_id, body) values ('%s', '%s');`, o.name, body)
}

func (o *orgOf) suspend(yes bool) string {
	return fmt.Sprintf(`update orgs set suspended = %v where id = '%s';`, yes, o.name)
}

// TestScenarioSuspension: W1, W3, W4, W5, W7. One row suspends an org: one decision is
// made, all its clients go dark, and nobody else is told anything. What is published
// with the suspension or in the dark reaches none of them; when the row is back they
// are alive again with all of it.
// Cases: 85.
func TestScenarioSuspension(t *testing.T) {
	t.Parallel()
	const users = 6
	n, rounds := 4*min(scale(t), 5), 6*scale(t)
	w := start(t, "suspension", fmt.Sprintf(`create table orgs (id text primary key, suspended boolean not null default false, seats int not null default 0);
		create table notes (id bigserial primary key, org_id text not null references orgs, body text not null);
		create index on notes (org_id, id);
		insert into orgs select 'org' || i from generate_series(1, %d) i;
		insert into notes (org_id, body) select id, 'welcome' from orgs;`, n),
		map[string][]byte{"notes.wasm": plugin(
			"notes", "1",
			function{name: "notes", sql: fmt.Sprintf(orgNotes, "$org"), key: []string{"id"}, policies: []string{"active"}},
			function{name: "active", kind: "policy", sql: `select not suspended as allow, 'suspended' as reason from orgs where id = $org`},
		)}, func(c *hosttest.Config) { c.TOML += orgAuth })
	orgs := make([]*orgOf, n)
	for i := range orgs {
		o := &orgOf{name: fmt.Sprintf("org%d", i+1)}
		o.notes = w.watchable(t, "notes of "+o.name, fmt.Sprintf(orgNotes, "'"+o.name+"'"))
		for u := range users {
			o.clients = append(o.clients, w.open(t, member(t, fmt.Sprintf("%s.%d", o.name, u), o.name), beats(), &live{name: "notes", scope: o.notes}))
		}
		orgs[i] = o
	}
	w.settle(t)
	w.fresh(t)
	want(t, "W4: first runs of notes", w.ran("notes").first, n)
	want(t, "W3: first runs of active", w.ran("active").first, n)
	suspensionCosts(t, w, orgs, users)

	w.concurrently(t, n, func(i int, conn *pgx.Conn) error {
		rng := rand.New(rand.NewPCG(17, uint64(i)))
		for round := range rounds {
			if err := orgs[i].round(t.Context(), w, conn, rng, round); err != nil {
				return err
			}
		}
		return nil
	})
	w.settle(t)
	for _, o := range orgs {
		w.fresh(t, o.notes)
	}
	for _, c := range w.clients {
		want(t, c.who.name+" is", c.subs[1].status, "live")
	}
	w.row(t, "W1 W3 W4 W5 W7", "notes")
}

func suspensionCosts(t *testing.T, w *world, orgs []*orgOf, users int64) {
	o := orgs[0]
	touches := []*history{o.notes}
	w.exactly(t, "a note", cost{"notes": 1, "active": 0}, users, func() {
		w.commit(t, w.conn, commit{sql: o.post("one"), touches: touches})
	})
	w.exactly(t, "seats of all", cost{"notes": 0, "active": 0}, 0, func() {
		w.commit(t, w.conn, commit{sql: `update orgs set seats = seats + 1`})
	})
	notes, active, words := w.ran("notes"), w.ran("active"), w.words()
	sent, _, _ := w.frames()
	w.commit(t, w.conn, commit{sql: o.suspend(true), touches: touches, shut: o.name})
	w.settle(t)
	want(t, "a suspension: runs of active", w.since("active", active), tally{runs: 1})
	want(t, "a suspension: runs of notes", w.since("notes", notes), tally{})
	want(t, "a suspension: words", w.words()-words, users) // to each of its clients, and to nobody else
	now, _, _ := w.frames()
	want(t, "a suspension: frames", now-sent, int64(0))
	for _, c := range o.clients {
		want(t, "its clients are", c.subs[1].status+" "+c.subs[1].reason, "denied suspended")
	}
	w.commit(t, w.conn, commit{sql: o.post("in the dark"), touches: touches})
	w.settle(t)
	now, _, _ = w.frames()
	want(t, "a note in the dark: frames", now-sent, int64(0))
	w.commit(t, w.conn, commit{sql: o.suspend(false), touches: touches, let: o.name})
	w.settle(t)
	now, _, _ = w.frames()
	want(t, "when it is back: frames", now-sent, users)
	w.fresh(t, o.notes)
}

// round is what happens in an org.
func (o *orgOf) round(ctx context.Context, w *world, conn *pgx.Conn, rng *rand.Rand, round int) error {
	touches := []*history{o.notes}
	secret := o.post(fmt.Sprintf("secret %d", round))
	steps := []commit{
		{sql: o.post(fmt.Sprintf("in the light %d", round)), touches: touches},
		{sql: []string{o.suspend(true), o.suspend(true) + secret, secret + o.suspend(true)}[rng.IntN(3)], touches: touches, shut: o.name},
		{sql: o.post(fmt.Sprintf("in the dark %d", round)), touches: touches},
		{sql: o.suspend(false), touches: touches, let: o.name},
		{sql: o.post(fmt.Sprintf("again %d", round)), touches: touches},
	}
	for _, step := range steps {
		if err := w.try(ctx, conn, step); err != nil {
			return err
		}
		if step.shut == "" || round%2 == 0 {
			continue
		}
		for _, c := range o.clients {
			if err := c.await("the suspension", func() bool { return c.subs[1].status == "denied" }); err != nil {
				return err
			}
		}
	}
	return nil
}
