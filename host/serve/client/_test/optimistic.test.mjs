import assert from "node:assert/strict"
import { test } from "node:test"
import { fixture } from "./fixture.mjs"
import { until } from "./server.mjs"

const f = fixture()
const args = { room: 7 }
const add = (id) => (l) => l.set("messages.list", args, [...(l.get("messages.list", args) ?? []), { id }])
const ids = (s) => s.data?.map((row) => row.id)

test("an optimistic row is shown at once and replaced by the truth in one moment", async () => {
  f.still()
  const { a, stream } = await f.live()
  const before = a.now
  const done = f.client.call("post", {}, { optimistic: add(-1) })
  assert.deepEqual(ids(a.now), [1, -1])
  assert.equal(a.now.data[0], before.data[0])
  const call = await f.server.next("POST /v1/call/post")
  const b = f.follow("b")
  ;(await f.server.next("POST /v1/stream/s1")).reply(204)
  // The rows overtake the answer of the call: nobody sees the message twice.
  f.show(stream, "v2", [{ id: 1 }, { id: 2 }])
  stream.send("synced", { tx: "t1" })
  stream.send("sub", { id: 2, status: "denied", reason: "no" })
  await b.status("denied")
  await until("the callback", () => b.states.at(-1) === b.now)
  call.reply(200, { result: { id: 2 }, tx: "t1" })
  assert.deepEqual(await done, { id: 2 })
  await until("the callback", () => a.states.at(-1) === a.now)
  assert.deepEqual(a.states.map(ids), [undefined, [1], [1, -1], [1, 2]])
})

test("an optimistic row goes when the call fails", async () => {
  f.connect()
  const { a } = await f.live()
  const before = a.now.data
  const done = f.client.call("post", {}, { optimistic: add(-1) })
  ;(await f.server.next("POST /v1/call/post")).reply(403, { code: "denied", message: "no" })
  await assert.rejects(done, { code: "denied" })
  assert.equal(a.now.data, before)
})

test("updates are made again upon newer rows, in their order", async () => {
  f.still()
  const { a, stream } = await f.live()
  const one = f.client.call("post", {}, { optimistic: add(-1) })
  const first = await f.server.next("POST /v1/call/post")
  const two = f.client.call("post", {}, { optimistic: add(-2) })
  const second = await f.server.next("POST /v1/call/post")
  assert.deepEqual(ids(a.now), [1, -1, -2])
  // Somebody else's row is not kept back for long.
  f.show(stream, "v2", [{ id: 1 }, { id: 5 }])
  await until("the rows came", () => (f.timers.tick(250), ids(a.now).includes(5)))
  assert.deepEqual(ids(a.now), [1, 5, -1, -2])
  first.reply(409, { code: "conflict", message: "no" })
  await assert.rejects(one, { code: "conflict" })
  assert.deepEqual(ids(a.now), [1, 5, -2])
  second.reply(200, { result: null, tx: null })
  await two
  assert.deepEqual(ids(a.now), [1, 5])
})

test("what is denied stays dark, whatever an update says", async () => {
  f.connect()
  const { a, stream } = await f.live()
  const done = f.client.call("post", {}, { optimistic: add(-1) })
  const call = await f.server.next("POST /v1/call/post")
  stream.send("sub", { id: 1, status: "denied", reason: "not_a_member" })
  await a.status("denied")
  assert.equal(a.now.data, undefined)
  call.reply(200, { result: null, tx: null })
  await done
  assert.equal(a.now.data, undefined)
})

test("an update that fails is reported, and the call is made", async () => {
  f.still()
  const { a } = await f.live()
  const done = f.client.call("post", {}, { optimistic: () => { throw new Error("oops") } })
  ;(await f.server.next("POST /v1/call/post")).reply(200, { result: 1, tx: null })
  assert.equal(await done, 1)
  assert.throws(() => f.timers.tick(0), { message: "oops" })
  assert.deepEqual(ids(a.now), [1])
})
