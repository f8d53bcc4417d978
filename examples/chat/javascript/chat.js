// The chat plugin in JavaScript: what ../plugin says in Go. Copy it into a plugin
// directory in the place of chat.wasm; nothing is built.
import { allowIf, exec, fail, mutation, plugin, query, select, t } from "weir"

plugin("chat", "1.0.0")

// A policy that is one statement: a row allows. It is live like every query:
// take the row away and the stream goes dark.
const member = allowIf("member", { room: t.int, me: t.claim("sub") },
  "select 1 from members where room_id = $room and user_id = $me")

// One statement, no function: the host runs it and no row enters the plugin. The
// parts in braces are there only when their argument is.
const list = select(`
	select id, author, body, sent_at from messages
	where room_id = $room {and author = $author} {and id < $before}
	order by id desc limit $limit`, { key: "id" })

const message = t.object({ id: t.int, author: t.text, body: t.text, sent_at: t.timestamp })

query("messages.list", {
  room: t.int,
  author: t.text.optional().doc("only what this person wrote"),
  before: t.int.optional().doc("next page: the last id you have"),
  limit: t.int.min(1).max(200).default(50),
}, list, { require: member, result: t.array(message), doc: "The newest messages of a room." })

const insert = exec(`
	insert into messages (room_id, author, body) values ($room, $me, $body)
	returning id, author, body, sent_at`)

// Me comes from the caller's token: a client cannot set it.
mutation("messages.post", { me: t.claim("sub"), room: t.int, body: t.text.max(4000) }, a => {
  const body = a.body.trim()
  if (!body) throw fail("empty", "write something first")
  return insert.one({ ...a, body })
}, {
  require: member, uses: [insert],
  result: message,
})

// The host fills $rooms with the ids of the rooms above it.
const members = select(`
	select room_id, user_id as "user" from members
	where room_id = any($rooms) order by room_id, user_id`)

const rooms = select(`
	select r.id, r.name, count(m.id) as messages
	from rooms r
	join members me on me.room_id = r.id and me.user_id = $me
	left join messages m on m.room_id = r.id
	group by r.id, r.name
	order by r.name`, { key: "id", nest: { members: { rows: members, on: "id", column: "room_id" } } })

query("rooms.list", { me: t.claim("sub") }, rooms, {
  signedIn: true,
  result: t.array(t.object({ id: t.int, name: t.text, messages: t.int, members: t.array(t.object({ room_id: t.int, user: t.text })) })),
  doc: "The caller's rooms and who is in them.",
})

// Computed in JavaScript, and live all the same.
query("rooms.summary", { me: t.claim("sub") }, ({ me }) => {
  const summary = { rooms: 0, messages: 0, busiest: "" }
  let most = 0
  for (const room of rooms.rows({ me })) {
    summary.rooms++
    summary.messages += room.messages
    if (room.messages > most) {
      most = room.messages
      summary.busiest = room.name
    }
  }
  return summary
}, {
  signedIn: true, uses: [rooms],
  result: t.object({ rooms: t.int, messages: t.int, busiest: t.text.doc("the room with most messages, if any") }),
})
