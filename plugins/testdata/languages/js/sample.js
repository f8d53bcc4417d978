// The sample in JavaScript: what the samples beside it say in their languages, with
// equal manifests, results and errors.
import { allow, allowIf, config, deny, exec, fail, log, mutation, now, plugin, policy, query, select, t, wakeAt } from "weir"

plugin("sample", "1.0.0")

const short = t.object({ id: t.int64, title: t.text, price: t.decimal.optional() })

const list = select("select id, title, price from notes where box = $box {and title = $title} {and id < $before} order by id desc limit $limit", { key: "id" })

const note = t.object({
  id: t.int64, title: t.text, image: t.bytes.optional(), price: t.decimal.optional(), at: t.timestamp.optional(),
  score: t.float.optional(), done: t.bool.optional(), tags: t.array(t.text).optional(), meta: t.json.optional(),
})

const read = select("select id, title, image, price, at, score, done, tags, meta from notes where box = $box order by id", { row: { id: t.int64 } })
const nested = select("select box, title from notes where box = any($boxes) order by box, id")
const boxes = select("select id, name from boxes order by id", { key: "id", nest: { notes: { rows: nested, on: "id", column: "box" } } })

const reader = allowIf("reader", { box: t.int64, me: t.claim("sub") }, "select 1 from readers where box = $box and user_id = $me")

const bans = select("select banned from readers where box = $box and user_id = $me")

const open = policy("open", { box: t.int64, me: t.claim("sub"), action: t.action, function: t.function }, a => {
  const ban = bans.first(a)
  if (!ban) return deny()
  if (ban.banned !== null) return deny(`${a.me} ist gesperrt: ${ban.banned}`)
  return allow({ scope: { seen: `${a.me}/${a.action}/${a.function}`, inside: a.box }, until: new Date(now().getTime() + 3600e3) })
}, { uses: [bans] })

const insert = exec("insert into notes (id, box, title, price, image, at) values ($id, $box, $title, $price, $image, $at) returning id, title, price")
const remove = exec("delete from notes where box = $box")

// score is a float, or the text of one that is not finite.
const numbered = n => ({ ...n, score: typeof n.score === "string" ? Number(n.score) : n.score })

query("boxes.list", {}, boxes, {
  public: true,
  result: t.array(t.object({ id: t.int64, name: t.text, notes: t.array(t.object({ box: t.int64, title: t.text })) })),
})

query("clock.later", {}, () => {
  log.info("läuft")
  wakeAt(new Date(now().getTime() + 3600e3))
  return now().getFullYear() > 2020
}, { public: true, uses: [], result: t.bool })

query("config.get", { key: t.text }, a => config(a.key), { public: true, uses: [], result: t.text.optional() })

query("fail.how", { how: t.text }, ({ how }) => {
  if (how === "public") throw fail("teapot", "kurz und stämmig")
  if (how === "retry") throw fail("busy", "later", { retryable: true })
  if (how === "internal") throw new Error("for the log only")
}, { public: true, uses: [] })

mutation("notes.add", {
  id: t.int64, box: t.int64, title: t.text.max(40), price: t.decimal.optional(), image: t.bytes.optional(), at: t.timestamp.optional(),
}, a => {
  const title = a.title.replace(/^ +| +$/g, "")
  if (!title) throw fail("empty", "schreib erst etwas: „Hallo“")
  return insert.one({ ...a, title })
}, { require: reader, uses: [insert], result: short })

query("notes.all", { box: t.int64 }, a => read.all(a).map(numbered), { require: reader, uses: [read], result: t.array(note) })

mutation("notes.clear", { box: t.int64 }, a => remove.run(a), { signedIn: true, uses: [remove], result: t.int64 })

query("notes.list", {
  box: t.int64, title: t.text.optional().doc("only what is called that"), before: t.int64.optional(), limit: t.int64.min(1).max(100).default(10),
}, list, { require: reader, result: t.array(short), doc: "The newest notes of a box." })

// odd passes the notes with an odd number on, the last one first, unread.
query("notes.odd", { box: t.int64 }, a => {
  const rows = read.rows(a), picked = []
  let at = 0
  for (const n of rows) {
    if (n.id % 2n !== 0n) picked.unshift(at)
    at++
  }
  return rows.pick(picked)
}, { require: reader, uses: [read], result: t.array(note) })

query("notes.passed", { box: t.int64 }, a => read.rows(a), { require: reader, uses: [read], result: t.array(note) })

query("notes.scoped", { box: t.int64, seen: t.scope(), inside: t.scope(t.int64) }, a => ({ seen: a.seen, inside: a.inside }), {
  require: open, uses: [], result: t.object({ seen: t.text, inside: t.int64 }),
})

const utf8 = s => [...s].reduce((n, c) => n + (c < "\x80" ? 1 : c < "\u0800" ? 2 : c.length === 1 ? 3 : 4), 0)

query("notes.summary", { box: t.int64 }, a => {
  const s = { count: 0, largest: undefined, letters: 0, score: 0, titles: [] }
  for (const n of read.rows(a).all().map(numbered)) {
    s.count++
    s.letters += utf8(n.title)
    if (s.largest === undefined || n.id > s.largest) s.largest = n.id
    s.score += n.score ?? 0
    s.titles.push(n.title)
  }
  return s
}, { require: reader, uses: [read], result: t.object({ count: t.int64, largest: t.int64.optional(), letters: t.int64, score: t.float, titles: t.array(t.text) }) })

const point = t.object({ x: t.int64, label: t.text.optional() })
const every = {
  i: t.int64, n: t.int32, f: t.float, b: t.bool, s: t.text, y: t.bytes, at: t.timestamp, d: t.date, u: t.uuid, p: t.decimal, j: t.json,
  e: t.enum("up", "down"), o: t.text.min(1).max(3).optional(), six: t.int64.default(6), half: t.float.min(-1).default(0.5),
  list: t.array(point).max(4), nums: t.array(t.int64),
}

query("values.echo", every, a => a, { public: true, uses: [], result: t.object(every) })
