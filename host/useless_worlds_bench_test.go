package host_test

import (
	"fmt"
	"math/rand/v2"
)

// ids are the arguments of one parameter: from to to.
func ids(from, to int) (out [][]any) {
	for i := from; i <= to; i++ {
		out = append(out, []any{i})
	}
	return out
}

// text is something that somebody typed.
func typed(r *rand.Rand) string { return fmt.Sprintf("text %d", r.IntN(1e9)) }

// chatWorld is a chat of 100 rooms and 300 users, of which 60 rooms are looked at
// and 100 users have their list of rooms open. Names are in their own table.
func chatWorld() *uselessWorld {
	one := func(r *rand.Rand) []any { return []any{1 + r.IntN(100)} }
	userInRoom := func(r *rand.Rand) []any { return []any{1 + r.IntN(100), 1 + r.IntN(300)} }
	recent := func(r *rand.Rand) []any { return []any{1 + r.IntN(100), r.IntN(30)} }
	return &uselessWorld{
		name: "chat",
		schema: `create table users (id int primary key, name text not null, avatar text, last_seen timestamptz);
			create table rooms (id int primary key, name text not null, topic text not null default '');
			create table members (room_id int references rooms, user_id int references users, role text not null default 'member',
				last_read bigint not null default 0, muted boolean not null default false, primary key (room_id, user_id));
			create table messages (id bigserial primary key, room_id int not null references rooms, author int not null references users,
				body text not null, edited boolean not null default false, sent_at timestamptz not null default now());
			create index on messages (room_id, id); create index on members (user_id);
			insert into users select i, 'user ' || i from generate_series(1, 300) i;
			insert into rooms select i, 'room ' || i from generate_series(1, 100) i;
			insert into members select r, (r * 7 + k * 13) % 300 + 1 from generate_series(1, 100) r, generate_series(1, 20) k;
			insert into messages (room_id, author, body) select i % 100 + 1, (i * 31) % 300 + 1, 'message ' || i from generate_series(1, 10000) i;`,
		queries: []uselessQuery{
			{statement{"messages.list", `select m.id, m.author, u.name, m.body, m.edited, m.sent_at from messages m join users u on u.id = m.author
				where m.room_id = $room order by m.id desc limit 50`, []string{"room"}, []string{"id"}}, "messages users", ids(1, 60)},
			{statement{"members.list", `select m.user_id, u.name, m.role from members m join users u on u.id = m.user_id
				where m.room_id = $room order by m.user_id`, []string{"room"}, []string{"user_id"}}, "members users", ids(1, 60)},
			{statement{"rooms.get", `select id, name, topic from rooms where id = $room`, []string{"room"}, []string{"id"}}, "rooms", ids(1, 60)},
			{statement{"rooms.mine", `select r.id, r.name, m.muted from members m join rooms r on r.id = m.room_id
				where m.user_id = $user order by r.id`, []string{"user"}, []string{"id"}}, "members rooms", ids(1, 100)},
		},
		writes: []uselessWrite{
			{550, "post", "messages", `insert into messages (room_id, author, body) values ($1, $2, $3)`, func(r *rand.Rand) []any {
				return append(userInRoom(r), typed(r))
			}},
			{60, "edit one of the last 30", "messages", `update messages set body = $3, edited = true
				where id = (select id from messages where room_id = $1 order by id desc offset $2 limit 1)`, func(r *rand.Rand) []any {
				return append(recent(r), typed(r))
			}},
			{15, "delete one of the last 30", "messages", `delete from messages
				where id = (select id from messages where room_id = $1 order by id desc offset $2 limit 1)`, recent},
			{230, "read up to here", "members", `update members set last_read = (select max(id) from messages where room_id = $1)
				where room_id = $1 and user_id = (select user_id from members where room_id = $1 order by user_id offset $2 % 10 limit 1)`, recent},
			{90, "seen", "users", `update users set last_seen = clock_timestamp() where id = $1`, one},
			{15, "join", "members", `insert into members (room_id, user_id) values ($1, $2) on conflict do nothing`, userInRoom},
			{12, "leave", "members", `delete from members
				where room_id = $1 and user_id = (select user_id from members where room_id = $1 order by user_id offset $2 % 10 limit 1)`, recent},
			{8, "mute", "members", `update members set muted = not muted
				where room_id = $1 and user_id = (select user_id from members where room_id = $1 order by user_id offset $2 % 10 limit 1)`, recent},
			{4, "role", "members", `update members set role = case role when 'admin' then 'member' else 'admin' end
				where room_id = $1 and user_id = (select user_id from members where room_id = $1 order by user_id offset $2 % 10 limit 1)`, recent},
			{5, "topic", "rooms", `update rooms set topic = $2 where id = $1`, func(r *rand.Rand) []any { return append(one(r), typed(r)) }},
			{5, "avatar", "users", `update users set avatar = $2 where id = $1`, func(r *rand.Rand) []any { return append(one(r), typed(r)) }},
			{3, "sign up", "users", `insert into users select max(id) + 1, $1 from users`, func(r *rand.Rand) []any { return []any{typed(r)} }},
			{2, "rename a user", "users", `update users set name = $2 where id = $1`, func(r *rand.Rand) []any { return append(one(r), typed(r)) }},
			{1, "rename a room", "rooms", `update rooms set name = $2 where id = $1`, func(r *rand.Rand) []any { return append(one(r), typed(r)) }},
		},
	}
}

// chatKeyedWorld is the chat with each name where it is shown: in a message that of
// then, in a membership that of now. A rename writes to the memberships too.
func chatKeyedWorld() *uselessWorld {
	w := chatWorld()
	w.name = "chat-keyed"
	w.schema += `alter table messages add author_name text; alter table members add user_name text, add room_name text;
		update messages set author_name = u.name from users u where u.id = author;
		update members set user_name = u.name, room_name = r.name from users u, rooms r where u.id = user_id and r.id = room_id;`
	query := func(i int, sql, tables string) { w.queries[i].sql, w.queries[i].tables = sql, tables }
	query(0, `select id, author, author_name, body, edited, sent_at from messages where room_id = $room order by id desc limit 50`, "messages")
	query(1, `select user_id, user_name, role from members where room_id = $room order by user_id`, "members")
	query(3, `select room_id as id, room_name, muted from members where user_id = $user order by room_id`, "members")
	write := func(name, sql, tables string) {
		for i := range w.writes {
			if w.writes[i].name == name {
				w.writes[i].sql, w.writes[i].tables = sql, tables
			}
		}
	}
	write("post", `insert into messages (room_id, author, author_name, body) select $1, id, name, $3 from users where id = $2`, "messages")
	write("join", `insert into members (room_id, user_id, room_name, user_name) select r.id, u.id, r.name, u.name
		from rooms r, users u where r.id = $1 and u.id = $2 on conflict do nothing`, "members")
	write("rename a user", `with u as (update users set name = $2 where id = $1 returning *)
		update members set user_name = u.name from u where user_id = u.id`, "users members")
	write("rename a room", `with r as (update rooms set name = $2 where id = $1 returning *)
		update members set room_name = r.name from r where room_id = r.id`, "rooms members")
	return w
}

// kanbanWorld is 60 boards of 5 columns, of which 40 are looked at: as a whole, by
// column, as figures, by assignee, and some open cards. People are
// numbers: a client has their names from elsewhere.
func kanbanWorld() *uselessWorld {
	card := func(r *rand.Rand) []any { return []any{1 + r.IntN(3000)} }
	named := func(r *rand.Rand) []any { return append(card(r), typed(r)) }
	number := func(n int) func(r *rand.Rand) []any {
		return func(r *rand.Rand) []any { return append(card(r), 1+r.IntN(n)) }
	}
	return &uselessWorld{
		name: "kanban",
		schema: `create table boards (id int primary key, org int not null, name text not null, archived boolean not null default false);
			create table columns (id int primary key, board_id int not null references boards, name text not null, position int not null);
			create table cards (id serial primary key, board_id int not null references boards, column_id int not null references columns,
				title text not null, description text not null default '', assignee int, position int not null, done boolean not null default false,
				due date, updated_at timestamptz not null default now());
			create table comments (id bigserial primary key, card_id int not null references cards on delete cascade, author int not null, body text not null);
			create index on cards (board_id); create index on cards (column_id); create index on cards (assignee); create index on comments (card_id);
			insert into boards select i, i % 10 + 1, 'board ' || i from generate_series(1, 60) i;
			insert into columns select i, (i - 1) / 5 + 1, 'column ' || i, (i - 1) % 5 from generate_series(1, 300) i;
			insert into cards (board_id, column_id, title, assignee, position)
				select (i % 300) / 5 + 1, i % 300 + 1, 'card ' || i, i % 40 + 1, i from generate_series(1, 3000) i;
			insert into comments (card_id, author, body) select i % 3000 + 1, i % 40 + 1, 'comment ' || i from generate_series(1, 6000) i;`,
		queries: []uselessQuery{
			{statement{"boards.list", `select id, name from boards where org = $org and not archived order by name, id`, []string{"org"}, []string{"id"}}, "boards", ids(1, 10)},
			{statement{"columns.list", `select id, name, position from columns where board_id = $board order by position, id`, []string{"board"}, []string{"id"}}, "columns", ids(1, 40)},
			{statement{"cards.board", `select id, column_id, title, assignee, position, done, due from cards where board_id = $board
				order by column_id, position, id`, []string{"board"}, []string{"id"}}, "cards", ids(1, 40)},
			{statement{
				"cards.column", `select id, title, position from cards where column_id = $column and not done order by position, id`,
				[]string{"column"},
				[]string{"id"},
			}, "cards", ids(1, 100)},
			{statement{"cards.mine", `select id, board_id, title, due from cards where assignee = $assignee and not done order by id`, []string{"assignee"}, []string{"id"}}, "cards", ids(1, 40)},
			{statement{
				"cards.count", `select column_id, count(*) as open from cards where board_id = $board and not done group by column_id order by column_id`,
				[]string{"board"},
				[]string{"column_id"},
			}, "cards", ids(1, 40)},
			{statement{"cards.get", `select id, title, description, assignee, due, done from cards where id = $card`, []string{"card"}, []string{"id"}}, "cards", ids(1, 40)},
			{statement{"comments.list", `select id, author, body from comments where card_id = $card order by id`, []string{"card"}, []string{"id"}}, "comments", ids(1, 40)},
		},
		writes: []uselessWrite{
			{250, "move to a column of the board", "cards", `update cards set column_id = (board_id - 1) * 5 + $2, position = $2 * 100, updated_at = now() where id = $1`, number(5)},
			{100, "move within the column", "cards", `update cards set position = $2, updated_at = now() where id = $1`, number(500)},
			{40, "number a column anew", "cards", `update cards set position = n from (select id as of, row_number() over (order by position, id) as n
				from cards where column_id = $1) as new where id = of and position <> n`, func(r *rand.Rand) []any { return []any{1 + r.IntN(300)} }},
			{
				130, "new card", "cards", `insert into cards (board_id, column_id, title, assignee, position) values ($1::int, ($1 - 1) * 5 + 1, $2, null, 0)`,
				func(r *rand.Rand) []any { return []any{1 + r.IntN(60), typed(r)} },
			},
			{90, "title", "cards", `update cards set title = $2, updated_at = now() where id = $1`, named},
			{120, "description", "cards", `update cards set description = $2, updated_at = now() where id = $1`, named},
			{70, "assign", "cards", `update cards set assignee = $2, updated_at = now() where id = $1`, number(40)},
			{70, "done", "cards", `update cards set done = true, updated_at = now() where id = $1`, card},
			{20, "due", "cards", `update cards set due = date '2030-01-01' + $2::int, updated_at = now() where id = $1`, number(300)},
			{20, "delete a card", "cards comments", `delete from cards where id = $1`, card},
			{80, "comment", "comments", `insert into comments (card_id, author, body) select id, 1, $2 from cards where id = $1`, named},
			{8, "rename a column", "columns", `update columns set name = $2 where id = $1 % 300 + 1`, named},
			{2, "archive a board", "boards", `update boards set archived = not archived where id = $1 % 60 + 1`, card},
		},
	}
}

// inboxSchema is a mail-like inbox: a thread's newest message is noted in it, and
// each participant has read up to some message.
const inboxSchema = `create table users (id int primary key, name text not null, last_seen timestamptz);
	create table threads (id int primary key, subject text not null, last_id bigint not null default 0, last_body text not null default '');
	create table participants (thread_id int references threads, user_id int references users, last_read bigint not null default 0,
		archived boolean not null default false, starred boolean not null default false, opened_at timestamptz, primary key (thread_id, user_id));
	create table messages (id bigserial primary key, thread_id int not null references threads, sender int not null references users, body text not null);
	create index on participants (user_id); create index on messages (thread_id, id);
	insert into users select i, 'user ' || i from generate_series(1, 200) i;
	insert into threads (id, subject) select i, 'subject ' || i from generate_series(1, 1000) i;
	insert into participants (thread_id, user_id) select t, (t * 7 + k * 41) % 200 + 1 from generate_series(1, 1000) t, generate_series(1, 3) k;
	insert into messages (thread_id, sender, body) select i % 1000 + 1, (i % 1000 * 7 + 48) % 200 + 1, 'message ' || i from generate_series(1, 5000) i;
	update threads set last_id = m.id, last_body = m.body from (select distinct on (thread_id) * from messages order by thread_id, id desc) m
		where m.thread_id = threads.id;`

// inboxWorld is the inbox as one writes it first: the list and the unread count
// of a user join what others write to.
func inboxWorld() *uselessWorld {
	return &uselessWorld{
		name: "inbox", schema: inboxSchema,
		queries: []uselessQuery{
			{statement{"threads.list", `select t.id, t.subject, t.last_id, t.last_body, p.starred from participants p join threads t on t.id = p.thread_id
				where p.user_id = $user and not p.archived order by t.last_id desc, t.id limit 25`, []string{"user"}, []string{"id"}}, "participants threads", ids(1, 100)},
			{statement{"threads.unread", `select count(*) as unread from participants p join messages m on m.thread_id = p.thread_id
				where p.user_id = $user and not p.archived and m.id > p.last_read and m.sender <> $user`, []string{"user"}, nil}, "participants messages", ids(1, 100)},
			{statement{"messages.list", `select id, sender, body from messages where thread_id = $thread order by id`, []string{"thread"}, []string{"id"}}, "messages", ids(1, 60)},
		},
		writes: inboxWrites(uselessWrite{225, "send", "messages threads", `with m as (insert into messages (thread_id, sender, body)
				select thread_id, user_id, $2 from participants where thread_id = $1 order by user_id limit 1 returning id, thread_id, body)
			update threads set last_id = m.id, last_body = m.body from m where threads.id = m.thread_id`, inboxSend}),
	}
}

// inboxKeyedWorld is the same inbox with a row for each user and thread that holds
// what the list shows: writers fan out, and each query has an equality.
func inboxKeyedWorld() *uselessWorld {
	return &uselessWorld{
		name: "inbox-keyed",
		schema: inboxSchema + `alter table participants add subject text not null default '', add last_id bigint not null default 0,
				add last_body text not null default '', add unread int not null default 0;
			update participants p set subject = t.subject, last_id = t.last_id, last_body = t.last_body,
				unread = (select count(*) from messages m where m.thread_id = t.id and m.sender <> p.user_id) from threads t where t.id = p.thread_id;`,
		queries: []uselessQuery{
			{statement{"threads.list", `select thread_id, subject, last_id, last_body, starred from participants
				where user_id = $user and not archived order by last_id desc, thread_id limit 25`, []string{"user"}, []string{"thread_id"}}, "participants", ids(1, 100)},
			{statement{"threads.unread", `select sum(unread) as unread from participants where user_id = $user and not archived`, []string{"user"}, nil}, "participants", ids(1, 100)},
			{statement{"messages.list", `select id, sender, body from messages where thread_id = $thread order by id`, []string{"thread"}, []string{"id"}}, "messages", ids(1, 60)},
		},
		writes: inboxWrites(uselessWrite{225, "send", "messages participants", `with m as (insert into messages (thread_id, sender, body)
				select thread_id, user_id, $2 from participants where thread_id = $1 order by user_id limit 1 returning id, thread_id, sender, body)
			update participants p set last_id = m.id, last_body = m.body, unread = unread + (p.user_id <> m.sender)::int
				from m where p.thread_id = m.thread_id`, inboxSend}),
	}
}

func inboxSend(r *rand.Rand) []any { return []any{1 + r.IntN(1000), typed(r)} }

// inboxWrites are what both inboxes are written, with their way to send.
func inboxWrites(send uselessWrite) []uselessWrite {
	one := func(r *rand.Rand) []any { return []any{1 + r.IntN(1000), r.IntN(3)} }
	// of is one of a thread's participants.
	const of = ` where thread_id = $1 and user_id = (select user_id from participants where thread_id = $1 order by user_id offset $2 limit 1)`
	read := `update participants set last_read = (select max(id) from messages where thread_id = $1)`
	if send.tables == "messages participants" {
		read += `, unread = 0`
	}
	return []uselessWrite{
		send,
		{125, "read", "participants", read + of, one},
		{50, "open", "participants", `update participants set opened_at = clock_timestamp()` + of, one},
		{40, "seen", "users", `update users set last_seen = clock_timestamp() where id = 1 + ($1::int + $2::int) % 200`, one},
		{30, "archive", "participants", `update participants set archived = not archived` + of, one},
		{20, "star", "participants", `update participants set starred = not starred` + of, one},
		{5, "delete a message", "messages", `delete from messages where id = (select id from messages where thread_id = $1 order by id offset $2 limit 1)`, one},
		{5, "rename a user", "users", `update users set name = 'user ' || ($1::int * 7) where id = 1 + ($1 + $2::int) % 200`, one},
	}
}

// leaderboardWorld is 10 seasons of 20 leagues with 50 players each: the top ten of
// a league in a season, and a player's own score.
func leaderboardWorld() *uselessWorld {
	place := func(r *rand.Rand) []any { return []any{1 + r.IntN(10), 1 + r.IntN(20), r.IntN(50)} }
	plus := func(r *rand.Rand) []any { return append(place(r), 1+r.IntN(40)) }
	// of is one of the players of a season's league.
	const of = ` where season_id = $1 and player_id = (select player_id from scores where season_id = $1 and league_id = $2 order by player_id offset $3 limit 1)`
	var tops, mine [][]any
	for season := 1; season <= 10; season++ {
		for league := 1; league <= 20; league++ {
			tops = append(tops, []any{season, league})
		}
		for player := 1; player <= 10; player++ {
			mine = append(mine, []any{season, player * 90})
		}
	}
	return &uselessWorld{
		name: "leaderboard",
		schema: `create table players (id int primary key, name text not null, last_seen timestamptz);
			create table scores (season_id int, player_id int references players, league_id int not null, score int not null default 0,
				games int not null default 0, updated_at timestamptz not null default now(), primary key (season_id, player_id));
			create index on scores (season_id, league_id, score desc, player_id);
			insert into players select i, 'player ' || i from generate_series(1, 1000) i;
			insert into scores (season_id, player_id, league_id, score) select s, p, p % 20 + 1, (s * 7919 + p * 104729) % 1000
				from generate_series(1, 10) s, generate_series(1, 1000) p;`,
		queries: []uselessQuery{
			{statement{"scores.top", `select player_id, score from scores where season_id = $season and league_id = $league
				order by score desc, player_id limit 10`, []string{"season", "league"}, []string{"player_id"}}, "scores", tops},
			{statement{"scores.mine", `select score, games from scores where season_id = $season and player_id = $player`, []string{"season", "player"}, nil}, "scores", mine},
		},
		writes: []uselessWrite{
			{750, "score", "scores", `update scores set score = score + $4, games = games + 1, updated_at = now()` + of, plus},
			{100, "play without a score", "scores", `update scores set games = games + 1, updated_at = now()` + of, place},
			{20, "enter a league", "scores", `with p as (insert into players select max(id) + 1, 'new' from players returning id)
				insert into scores (season_id, player_id, league_id, score) select $1::int, id, $2::int, $3::int from p`, place},
			{20, "leave a league", "scores", `delete from scores` + of, place},
			{20, "move up", "scores", `update scores set league_id = league_id % 20 + 1` + of, place},
			{80, "seen", "players", `update players set last_seen = clock_timestamp() where id = $1 * 90 + $2 + $3`, place},
			{10, "rename", "players", `update players set name = 'player ' || ($1::int * $2::int * $3::int) where id = $1 * 90 + $2 + $3`, place},
		},
	}
}
