// What a page does beside its stream: loops, users who change, networks that go.
import assert from "node:assert/strict"
import { mock, test } from "node:test"
import { fixture, jwt } from "./fixture.mjs"
import { until } from "./server.mjs"

const f = fixture()

test("a loop gets the newest result, and undefined when access goes", async () => {
  f.connect()
  const seen = []
  const stop = new AbortController()
  const loop = (async () => {
    for await (const rows of f.client.watch("messages.list", { room: 7 }, { signal: stop.signal })) seen.push(rows?.map((r) => r.id))
  })()
  const stream = (await f.server.next("POST /v1/stream")).stream()
  f.show(stream, "v1", [{ id: 1 }])
  await until("the first rows", () => seen.length === 1)
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "stale" }) // no news
  f.show(stream, "v2", [{ id: 2 }])
  await until("the next rows", () => seen.length === 2)
  stream.send("sub", { id: 1, status: "denied", reason: "no" })
  await until("the denial", () => seen.length === 3)
  f.show(stream, "v2", [{ id: 2 }])
  await until("the return", () => seen.length === 4)
  stop.abort()
  await loop
  assert.deepEqual(seen, [[1], [2], undefined, [2]])
})

test("a loop throws what is final, and ends with the client", async () => {
  f.connect()
  const first = f.client.watch("a").next()
  const stream = (await f.server.next("POST /v1/stream")).stream()
  stream.send("problem", { id: 1, code: "unknown_function", message: "no", retryable: false })
  await assert.rejects(first, { code: "unknown_function" })
  const second = f.client.watch("b").next()
  f.client.close()
  assert.deepEqual(await second, { value: undefined, done: true })
})

test("peek is what a subscription would begin with", async () => {
  f.connect()
  assert.equal(f.client.peek("messages.list", { room: 7 }).status, "connecting")
  const { a } = await f.live()
  assert.equal(f.client.peek("messages.list", { room: 7 }), a.now)
})

test("another principal is shown nothing of the one before", async () => {
  let token = jwt({ iss: "i", sub: "ann", exp: 1 })
  f.still({ token: () => token })
  const { a, stream } = await f.live()
  const renewed = jwt({ iss: "i", sub: "ann", exp: 2 })
  token = renewed
  stream.send("expiring", { in_ms: 30000 })
  await until("renewal", () => (f.timers.tick(0), !f.server.idle()))
  const renewal = await f.server.next("POST /v1/stream/s1")
  assert.equal(renewal.headers.authorization, "Bearer " + renewed)
  renewal.reply(204)
  assert.equal(a.now.data.length, 1) // the same one: nothing happened
  token = jwt({ iss: "i", sub: "bob", exp: 3 })
  stream.send("expiring", { in_ms: 30000 })
  await until("the other one", () => (f.timers.tick(5000), a.now.status === "connecting"))
  assert.equal(a.now.data, undefined)
  await stream.gone
  const open = await f.server.next("POST /v1/stream")
  assert.equal(open.headers.authorization, "Bearer " + token)
  assert.deepEqual(open.body, { subs: [{ id: 1, q: "messages.list", args: { room: 7 } }] }) // no have, no at
})

test("a source that keeps its token is asked again until it has another", async () => {
  let token, asked = 0, exp = 100
  f.still({ token: () => (token = jwt({ iss: "i", sub: "ann", exp, jti: asked++ })) }) // another token that lives no longer
  const { stream } = await f.live()
  stream.send("expiring", { in_ms: 30000 })
  await until("asked", () => (f.timers.tick(0), asked === 2))
  await until("asked again", () => (f.timers.tick(5000), asked >= 3))
  assert.ok(f.server.idle())
  exp = 160
  await until("renewal", () => (f.timers.tick(5000), !f.server.idle()))
  const renewal = await f.server.next("POST /v1/stream/s1")
  assert.equal(renewal.headers.authorization, "Bearer " + token)
  renewal.reply(204)
  const before = asked
  for (let n = 0; n < 5; n++) await new Promise((done) => (f.timers.tick(2000), setImmediate(done)))
  assert.equal(asked, before)
})

/** The events of a page, in Node. */
function page() {
  const target = new EventTarget()
  mock.method(globalThis, "addEventListener", (...a) => target.addEventListener(...a))
  return (type) => target.dispatchEvent(new Event(type))
}
globalThis.addEventListener ??= () => {}

test("a stream that lived through an outage is left when the network is back", async () => {
  const send = page()
  f.still()
  const { a, stream } = await f.live()
  send("online") // without an outage nothing happens
  assert.equal(a.now.status, "live")
  send("offline")
  assert.equal(a.now.status, "live") // this machine's servers are there all the same
  send("online")
  await stream.gone
  const open = await f.server.next("POST /v1/stream") // at once, with what it holds
  assert.equal(open.body.subs[0].have, "v1")
})

test("a page that is shown again does not wait for a stream that missed its ping", async () => {
  const send = page()
  f.still()
  const { a } = await f.live()
  f.timers.tick(30_000)
  send("pageshow")
  assert.equal(a.now.status, "live")
  f.timers.tick(10_000)
  send("pageshow")
  assert.equal(a.now.status, "stale")
  ;(await f.server.next("POST /v1/stream")).stream()
})

test("nobody comes back earlier than the server asked", async () => {
  const send = page()
  let asked = 0 // for each stream that is opened
  f.still({ token: () => (asked++, null) })
  const a = f.follow("a")
  ;(await f.server.next("POST /v1/stream")).reply(503, { code: "overload", message: "m", retryable: true }, { "Retry-After": "4" })
  await until("an error", () => a.now.error)
  send("online")
  f.timers.tick(3000)
  send("online")
  assert.equal(asked, 1)
  f.timers.tick(1000)
  assert.equal(asked, 2)
  ;(await f.server.next("POST /v1/stream")).stream()
})
