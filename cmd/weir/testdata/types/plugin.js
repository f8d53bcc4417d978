// What an author may write in a plugin in JavaScript, without the import.
plugin("board", "1.0.0", { capabilities: ["sql.dynamic"] })

const member = allowIf("member", { board: t.int, me: t.claim("sub") }, "select 1 from members where board_id = $board and user_id = $me")
const mine = owner("mine", { id: t.int, me: t.claim("sub") }, "cards", "author", { doc: "The card is the caller's." })
const late = policy("late", { roles: t.claim("roles", t.array(t.text)), verb: t.action, name: t.function }, a => {
  if (a.roles.includes("admin") || a.verb === "read") return allow({ scope: { team: a.name }, until: new Date(now().getTime() + 60e3) })
  return deny("not now")
})

const notes = select("select card_id, note from notes where card_id = any($cards) order by note")
const cards = select("select id, list_id, text from cards where list_id = any($lists) order by id", { key: "id", nest: nest("notes", "id", notes, "card_id") })
const lists = select("select id, title from lists where board_id = $board order by id", {
  key: ["id"], row: { id: t.int64 }, nest: { cards: { rows: cards, on: "id", column: "list_id" } },
})
const add = exec("insert into cards (list_id, text) values ($list, $text) returning id")

const card = t.object({ id: t.int64, text: t.text.doc("what it says"), at: t.timestamp.optional(), colour: t.enum("red", "blue") })

query("lists.all", { board: t.int }, lists, { require: member, result: t.array(t.object({ id: t.int64, title: t.text, cards: t.array(card) })) })
query("lists.some", { board: t.int, which: t.array(t.int).optional() }, a => lists.rows(a).pick(a.which ?? [0]).project(["title", 0]), { require: [member, late] })
query("lists.nested", { board: t.int }, a => {
  const rows = lists.rows(a)
  const inside = cards.rows({ lists: rows.all().map(l => l.id) })
  return rows.nest("cards", "id", inside, "list_id")
}, { require: member })
query("card.first", { id: t.int64.min(1), limit: t.int.max(200).default(50) }, async a => {
  /** @type {bigint} */
  const id = a.id
  return { id: id + 1n, text: now(), at: null, colour: "red" }
}, { signedIn: true, result: card })
query("card.count", { of: t.enum("cards", "notes") }, ({ of }) => {
  const rows = querySQL("select count(*) as n from " + of, {}, { row: { n: t.int64 } })
  const { n } = rows.one()
  rows.close()
  return n
}, { public: true, result: t.int })
mutation("cards.add", { list: t.int, text: t.text.max(200), me: t.claim("sub"), team: t.scope() }, a => {
  if (!a.text.trim()) throw fail("empty", "write something first", { retryable: false })
  try {
    return add.one(a)
  } catch (e) {
    if (e instanceof HostError && e.code === "sql_error") log.warn("again", e.errno)
    console.log(a.text, config("greeting")?.length)
    wakeAt(new Date())
    throw e
  }
}, { require: [member, mine, otherPolicy("policy/org")], uses: [add], doc: "Add a card." })
mutation("cards.direct", { list: t.int, text: t.text }, add, { public: true })
