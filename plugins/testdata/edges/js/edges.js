// What the edges of Rust and C say, in JavaScript.
import { plugin, query, querySQL, select, t } from "weir"

plugin("edges", "1.0.0", { capabilities: ["sql.dynamic"] })

const boxes = select("select id, name from boxes order by id")
const notes = select("select id, box, title from notes order by id")
const wide = select("select id, body from wide order by id")
const open = { public: true }

query("bad.column", {}, () => notes.rows().project([7]), open)
query("bad.index", {}, () => notes.rows().pick([99]), open)
query("codec.echo", { x: t.any }, a => a.x, open)
query("rows.inside", {}, () => boxes.all().map(b => `${b.name} ${notes.all().filter(n => n.box === b.id).length}`), open)
query("rows.nest", {}, () => boxes.rows().nest("notes", "id", notes.rows(), "box"), open)
query("rows.project", {}, () => notes.rows().pick([1, 0, 1]).project([2, 0]), open)
query("rows.read_projected", {}, () => notes.rows().project(["title", "id"]).all(), open)
query("rows.wide", {}, () => {
  const all = wide.all()
  const bytes = s => [...s].reduce((n, c) => n + (c < "\x80" ? 1 : 2), 0)
  return { rows: all.length, bytes: all.reduce((n, w) => n + bytes(w.body), 0), last: all.at(-1).id }
}, open)

const find = a => querySQL(`select id from ${a.table} where id < $before {and title = $title} order by id`, a)
const args = { table: t.text, title: t.text.optional(), before: t.int }
query("sql.made", args, a => find(a).all(), open)
query("sql.passed", args, find, open)
