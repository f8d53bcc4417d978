import assert from "node:assert/strict"
import { test } from "node:test"
import { until } from "./server.mjs"
import { fixture } from "./fixture.mjs"

const f = fixture()
const row = (id, n = 0) => ({ id, n })

test("a delta is put into the rows, and unchanged rows stay the same objects", async () => {
  f.connect()
  const a = f.follow("messages.list", { room: 7 })
  const b = f.follow("messages.list", { room: 8 })
  const open = await f.server.next("POST /v1/stream")
  const stream = open.stream()
  for (const id of [1, 2]) stream.send("sub", { id, q: "qa", v: "v1", status: "live" })
  stream.rows("qa", "v1", [row(1), row(2), row(3), row(4)])
  await b.status("live")
  const [one, two, three] = a.now.data

  // 4 goes, 1 moves to the end, 3 changes, 9 comes.
  for (const id of [1, 2]) stream.send("sub", { id, q: "qa", v: "v2", status: "live" })
  stream.delta("qa", "v1", "v2", [[0, "9", row(9)], [2, "3", row(3, 1)], [3, "1", row(1)]], ["1", "4"])
  await until("the delta", () => a.now.data.length === 4 && a.now.data[0].id === 9)
  for (const { data } of [a.now, b.now]) assert.deepEqual(data, [row(9), row(2), row(3, 1), row(1)])
  assert.equal(a.now.data[1], two)
  assert.equal(a.now.data[3], one)
  assert.deepEqual(three, row(3)) // what was shown before is not touched
  assert.equal(a.now.status, "live")

  // What is held by the new version is what is said after a break.
  stream.cut()
  assert.equal((await f.server.next("POST /v1/stream")).body.subs[0].have, "v2")
})

test("a delta from a version that is not held asks for the whole result", async () => {
  f.connect()
  const { a, stream } = await f.live()
  stream.send("sub", { id: 1, q: "qa", v: "v3", status: "live" })
  stream.delta("qa", "v2", "v3", [[0, "2", row(2)]])
  const again = await f.server.next("POST /v1/stream/s1")
  assert.deepEqual(again.body, { add: [{ id: 1, q: "messages.list", args: { room: 7 } }], drop: [] })
  assert.deepEqual([a.now.status, a.now.data], ["stale", [{ id: 1 }]]) // rows of another state are not mixed in
  again.reply(204)
  f.show(stream, "v3", [row(2), row(1)])
  await a.status("live")
  assert.deepEqual(a.now.data, [row(2), row(1)])
  f.show(stream, "v4", [row(2), row(1), row(5)])
  await until("the next", () => a.now.data.length === 3)
})

test("a delta to what was not announced, or is held already, is nothing", async () => {
  f.connect()
  const { a, stream } = await f.live()
  stream.delta("qa", "v1", "v9", [[0, "2", row(2)]])
  stream.delta("qa", "v0", "v1", [[0, "2", row(2)]])
  f.show(stream, "v2", [row(1), row(2)])
  await until("the next", () => a.now.data.length === 2)
  assert.deepEqual(a.now.data, [row(1), row(2)])
  assert.equal(f.server.idle(), true)
})

test("keys are told apart as the server does", async () => {
  f.connect()
  const a = f.follow("messages.list", { room: 7 })
  const stream = (await f.server.next("POST /v1/stream")).stream()
  const key = ["a", "b"]
  const rows = [{ a: "x,y", b: 1 }, { a: "x", b: "y,1" }, { a: 'q"\\\n', b: true }, { a: 12, b: null }]
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  stream.rows("qa", "v1", rows, key)
  await a.status("live")
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "live" })
  stream.delta("qa", "v1", "v2", [[0, '"x,y",1', { a: "x,y", b: 1, c: 1 }]], ['"q\\"\\\\\\n",true', '"x","y,1"'])
  await until("the delta", () => a.now.data.length === 2)
  assert.deepEqual(a.now.data, [{ a: "x,y", b: 1, c: 1 }, rows[3]])
})
