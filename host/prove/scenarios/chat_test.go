package scenarios

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
)

const chatSchema = `create table users (id text primary key, name text not null, last_seen timestamptz);
	create table members (room int not null, user_id text not null references users, last_read bigint not null default 0, primary key (room, user_id));
	create table messages (id bigserial primary key, room int not null, author text not null references users, body text not null);
	create index on messages (room, id);`

const (
	chatMessages = `select m.id, m.author, u.name, m.body from messages m join users u on u.id = m.author
		where m.room = %s order by m.id desc limit 20`
	chatMembers = `select m.user_id, u.name from members m join users u on u.id = m.user_id where m.room = %s order by m.user_id`
)

// chatRoom is a room and those who watch it.
type chatRoom struct {
	n                 int
	looked            string // ends the names of its queries
	messages, members *history
	clients           []*client
}

func (r *chatRoom) user(i int) string { return fmt.Sprintf("u%d.%d", r.n, i) }

// post is a message of the room's first user, who is never revoked.
func (r *chatRoom) post(body string) string {
	return fmt.Sprintf(`insert into messages (room, author, body) values (%d, '%s', '%s');`, r.n, r.user(0), body)
}

func (r *chatRoom) revoke(i int) string {
	return fmt.Sprintf(`delete from members where room = %d and user_id = '%s';`, r.n, r.user(i))
}

func (r *chatRoom) grant(i int) string {
	return fmt.Sprintf(`insert into members values (%d, '%s');`, r.n, r.user(i))
}

// TestScenarioChat: W1, W2, W3, W5. Rooms in which people write, are seen, are
// thrown out and come back, alone and in one transaction with a message that they must
// not see, by a policy that is a statement, and by a guest. Nothing newer than the
// revocation reaches them, also when their connection breaks and they come back with
// what they hold; all others have it all.
// What nobody reads (when somebody was seen last, and what he has read) makes nothing
// run.
// Cases: 85.
func TestScenarioChat(t *testing.T) {
	t.Parallel()
	const users = 5
	rooms, rounds := 3*min(scale(t), 5), 6*scale(t)
	w := start(t, "chat", chatSchema+fmt.Sprintf(`insert into users select format('u%%s.%%s', r, i), 'user ' || i from generate_series(1, %d) r, generate_series(0, %d) i;
		insert into members select r, format('u%%s.%%s', r, i) from generate_series(1, %[1]d) r, generate_series(0, %[2]d) i;
		insert into messages (room, author, body) select r, format('u%%s.0', r), 'welcome' from generate_series(1, %[1]d) r;`, rooms, users-1),
		map[string][]byte{"chat.wasm": plugin("chat", "1", append(chatFunctions(""), chatFunctions(".looked")...)...)})
	list := make([]*chatRoom, rooms)
	for i := range list {
		r := &chatRoom{n: i + 1, looked: []string{"", ".looked"}[i%2]}
		r.messages = w.watchable(t, fmt.Sprintf("messages of room %d", r.n), fmt.Sprintf(chatMessages, fmt.Sprint(r.n)))
		r.members = w.watchable(t, fmt.Sprintf("members of room %d", r.n), fmt.Sprintf(chatMembers, fmt.Sprint(r.n)))
		args := fmt.Sprintf(`{"room":%d}`, r.n)
		for u := range users {
			r.clients = append(r.clients, w.open(t, who{name: r.user(u)}, beats(),
				&live{name: "messages" + r.looked, args: args, scope: r.messages}, &live{name: "members" + r.looked, args: args, scope: r.members}))
		}
		list[i] = r
	}
	w.settle(t)
	w.fresh(t)
	chatCosts(t, w, list, users)

	w.concurrently(t, rooms, func(i int, conn *pgx.Conn) error {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		for round := range rounds {
			if err := list[i].round(t, w, conn, rng, round); err != nil {
				return err
			}
		}
		return nil
	})
	w.settle(t)
	for _, r := range list {
		w.fresh(t, r.messages, r.members)
	}
	w.row(t, "W1 W2 W3 W5", "messages", "members", "messages.looked", "members.looked")
}

// chatFunctions are the queries and their policy: a statement, which shares the
// snapshot of what it guards, or a guest, which does not.
func chatFunctions(looked string) []function {
	member := []string{"member" + looked}
	return []function{
		{name: "messages" + looked, sql: fmt.Sprintf(chatMessages, "$room"), key: []string{"id"}, policies: member},
		{name: "members" + looked, sql: fmt.Sprintf(chatMembers, "$room"), key: []string{"user_id"}, policies: member},
		{name: member[0], kind: "policy", looks: looked != "", sql: `select 1 from members where room = $room and user_id = $me`},
	}
}

// chatCosts asserts what each kind of commit costs, in a room of each kind.
func chatCosts(t *testing.T, w *world, rooms []*chatRoom, users int64) {
	t.Helper()
	for _, r := range rooms[:2] {
		roomCosts(t, w, r, users)
	}
	half := len(rooms) / 2
	w.exactly(t, "a message in each room", cost{"messages": len(rooms) - half, "messages.looked": half, "members": 0, "member": 0, "member.looked": 0}, users*int64(len(rooms)), func() {
		for _, r := range rooms {
			w.commit(t, w.conn, commit{sql: r.post("one"), touches: []*history{r.messages}})
		}
	})
}

func roomCosts(t *testing.T, w *world, r *chatRoom, users int64) {
	t.Helper()
	messages, members, member := "messages"+r.looked, "members"+r.looked, "member"+r.looked
	one := func(c commit) func() { return func() { w.commit(t, w.conn, c) } }
	both := []*history{r.messages, r.members}
	w.exactly(t, "seen", cost{messages: 0, members: 0, member: 0}, 0, func() {
		for range 5 {
			w.commit(t, w.conn, commit{sql: `update users set last_seen = clock_timestamp(); update members set last_read = last_read + 1`})
		}
	})
	w.exactly(t, "a message", cost{messages: 1, members: 0, member: 0}, users,
		one(commit{sql: r.post("one"), touches: both[:1]}))
	w.exactly(t, "a name", cost{messages: 1, members: 1, member: 0}, 2*users,
		one(commit{sql: fmt.Sprintf(`update users set name = 'other' where id = '%s'`, r.user(0)), touches: both}))
	// One is thrown out: his own decision and the list of members run, for the others.
	victim := r.clients[1]
	w.settle(t)
	before, decided, shown := w.ran(members), w.ran(member), w.ran(messages)
	w.commit(t, w.conn, commit{sql: r.revoke(1), touches: both, shut: r.user(1)})
	w.settle(t)
	want(t, "a revocation: runs of member", w.since(member, decided), tally{runs: 1})
	want(t, "a revocation: runs of members", w.since(members, before), tally{runs: 1})
	want(t, "a revocation: runs of messages", w.since(messages, shown), tally{})
	for _, s := range victim.subs[1:] {
		victim.until(t, "the denial", func() bool { return s.status == "denied" && s.denials == 1 })
	}
	w.commit(t, w.conn, commit{sql: r.grant(1), touches: both, let: r.user(1)})
	w.settle(t)
	w.fresh(t, both...)
	for _, s := range victim.subs[1:] {
		want(t, "after the grant "+s.name+" is", s.status, "live")
	}
}

// round is what happens in a room, more or less: its clients are told meanwhile, or
// not.
func (r *chatRoom) round(t *testing.T, w *world, conn *pgx.Conn, rng *rand.Rand, round int) error {
	both, messages := []*history{r.messages, r.members}, []*history{r.messages}
	victim := 1 + rng.IntN(len(r.clients)-1)
	secret, dark := r.post(fmt.Sprintf("secret %d", round)), r.post(fmt.Sprintf("in the dark %d", round))
	revoke := []string{r.revoke(victim), r.revoke(victim) + secret, secret + r.revoke(victim)}[rng.IntN(3)]
	grant := r.grant(victim)
	if rng.IntN(2) == 0 {
		grant += r.post(fmt.Sprintf("with the grant %d", round))
	}
	c := r.clients[victim]
	hears := round%2 == 1 // in the other rounds he may be back before he has heard of it
	shut := r.user(victim)
	if r.looked != "" && !hears {
		// A guest decides in a transaction of its own, and what it allowed before and
		// after is shown: if it never ran in the dark, he may see what was there.
		shut = ""
	}
	steps := []commit{
		{sql: r.post(fmt.Sprintf("in the light %d", round)), touches: messages},
		{sql: fmt.Sprintf(`update users set last_seen = clock_timestamp() where id like 'u%d.%%'`, r.n)},
		{sql: revoke, touches: both, shut: shut},
		{sql: dark, touches: messages},
		{sql: fmt.Sprintf(`update users set name = 'dark %d' where id = '%s'`, round, r.user(0)), touches: both},
		{sql: grant, touches: both, let: shut},
		{sql: r.post(fmt.Sprintf("again %d", round)), touches: messages},
	}
	comes := rng.IntN(2 * len(steps)) // after which of them somebody's connection breaks, if at all
	if hears {                        // first of his return, or it is the last denial that he has in mind
		for _, s := range c.subs[1:] {
			if err := c.await("what is his to see", func() bool { return s.status != "denied" && s.result != nil }); err != nil {
				return err
			}
		}
	}
	for i, step := range steps {
		if err := w.try(t.Context(), conn, step); err != nil {
			return err
		}
		if i == comes {
			if err := r.clients[1+rng.IntN(len(r.clients)-1)].reconnect(t.Context()); err != nil {
				return err
			}
		}
		if hears && step.shut != "" {
			for _, s := range c.subs[1:] {
				if err := c.await("the denial", func() bool { return s.status == "denied" }); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
