import assert from "node:assert/strict"
import { afterEach, beforeEach, mock, test } from "node:test"
import { createClient, WeirError } from "../weir.js"
import { fakeServer, fakeTimers, until } from "./server.mjs"

let server, client, timers
beforeEach(async () => {
  server = await fakeServer()
})
afterEach(async () => {
  client?.close()
  timers?.restore()
  mock.restoreAll()
  await server.close()
})

/** A client whose timers stand still until the test ticks them; random is 1. */
function still(options) {
  timers = fakeTimers()
  mock.method(Math, "random", () => 1)
  return connect(options)
}

function connect(options) {
  return (client = createClient({ url: server.url, ...options }))
}

/** Subscribes and keeps every state that was told. */
function follow(name, args, options) {
  const states = []
  const sub = client.subscribe(name, args, (s) => states.push(s), options)
  return { ...sub, states, get now() { return sub.current }, status: (want) => until(name + " " + want, () => sub.current.status === want) }
}

/** A client with one live subscription of one row. */
async function live(name = "messages.list", args = { room: 7 }) {
  const a = follow(name, args)
  const open = await server.next("POST /v1/stream")
  const stream = open.stream()
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live", at: "at1" })
  stream.rows("qa", "v1", [{ id: 1 }])
  await a.status("live")
  return { a, open, stream }
}

const statuses = (f) => f.states.map((s) => s.status)

test("all subscriptions open in one stream and follow their results", async () => {
  connect({ token: "t" })
  const a = follow("messages.list", { room: 7 })
  const b = follow("rooms.list")
  const open = await server.next("POST /v1/stream")
  assert.equal(open.headers.authorization, "Bearer t")
  assert.equal(open.headers.accept, "text/event-stream")
  assert.deepEqual(open.body, { subs: [{ id: 1, q: "messages.list", args: { room: 7 } }, { id: 2, q: "rooms.list", args: {} }] })
  const stream = open.stream()
  stream.send("sub", { id: 2, q: "qb", v: "w1", status: "live" })
  stream.raw('data: {"q":"qb","v":"w1","value":3}\n\n')
  await b.status("live")
  assert.equal(b.now.data, 3)
  assert.equal(a.now.status, "connecting")
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  stream.rows("qa", "v1", [{ id: 1 }])
  await a.status("live")
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "live" })
  stream.rows("qa", "v2", [{ id: 1 }, { id: 2 }])
  await until("two rows", () => a.now.data.length === 2)
  await until("the callback", () => a.states.length === 3)
  assert.deepEqual(a.states.map((s) => [s.status, s.data?.length]), [["connecting", undefined], ["live", 1], ["live", 2]])
})

test("what was announced is not shown before its rows", async () => {
  connect()
  const { a, stream } = await live()
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "stale", reason: "deadline" })
  stream.send("ping", {})
  stream.rows("other", "v2", [{ id: 9 }])
  stream.rows("qa", "v0", [{ id: 9 }])
  stream.rows("qa", "v2", [{ id: 2 }])
  await a.status("stale")
  assert.deepEqual(a.now.data, [{ id: 2 }])
  assert.equal(a.now.error.code, "deadline")
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "live" })
  await a.status("live")
  assert.equal(a.now.error, undefined)
  await until("the callbacks", () => a.states.at(-1) === a.now)
  for (const s of a.states) assert.ok(s.status !== "stale" || s.data[0].id === 2)
})

test("two subscriptions of one group share one frame", async () => {
  connect()
  const a = follow("q", {}), b = follow("q", { n: 1 })
  const stream = (await server.next("POST /v1/stream")).stream()
  for (const id of [1, 2]) stream.send("sub", { id, q: "g", v: "v1", status: "live" })
  stream.rows("g", "v1", [{ id: 1 }])
  await a.status("live")
  await b.status("live")
  assert.deepEqual(a.now.data, b.now.data)
})

test("equal names and arguments share a subscription, which lingers 5 s", async () => {
  still()
  const { a, stream } = await live("q", { a: 1, b: [{ c: 1, d: 2 }] })
  const b = follow("q", { b: [{ d: 2, c: 1 }], a: 1 })
  await until("b was told", () => b.states.length)
  assert.equal(b.states[0], a.now)
  const other = follow("q", { a: 2 })
  let change = await server.next("POST /v1/stream/s1")
  assert.deepEqual(change.body, { add: [{ id: 2, q: "q", args: { a: 2 } }], drop: [] })
  change.reply(204)
  a.close()
  a.close()
  b.close()
  timers.tick(4999)
  const again = follow("q", { a: 1, b: [{ c: 1, d: 2 }] })
  assert.equal(again.now.status, "live")
  timers.tick(5000)
  again.close()
  timers.tick(5000)
  change = await server.next("POST /v1/stream/s1")
  assert.deepEqual(change.body, { add: [], drop: [1] })
  change.reply(204)
  other.close()
  timers.tick(5000)
  await stream.gone // nobody wants anything: no stream
  assert.ok(server.idle())
})

test("changes of a moment are one request, and requests do not overtake", async () => {
  connect()
  await live()
  const b = follow("b"), c = follow("c")
  const first = await server.next("POST /v1/stream/s1")
  assert.deepEqual(first.body.add.map((s) => s.q), ["b", "c"])
  c.close()
  follow("d")
  b.close()
  // A request that is sent later arrives, and none of the session's before it.
  await new Promise(setImmediate)
  const answer = client.get("x")
  ;(await server.next("GET /v1/q/x")).reply(200, { v: "v", value: 1 })
  await answer
  assert.ok(server.idle())
  first.reply(204)
  const second = await server.next("POST /v1/stream/s1")
  assert.deepEqual(second.body.add.map((s) => s.q), ["d"])
  second.reply(204)
})

test("unchanged rows keep their identity, by key or by place", async () => {
  connect()
  const a = follow("a"), b = follow("b"), c = follow("c")
  const stream = (await server.next("POST /v1/stream")).stream()
  const show = (v, rows, value) => {
    for (const id of [1, 2, 3]) stream.send("sub", { id, q: "q" + id, v, status: "live" })
    stream.rows("q1", v, rows)
    stream.rows("q2", v, rows, undefined)
    stream.raw(`data: ${JSON.stringify({ q: "q3", v, value })}\n\n`)
    return until(v, () => [a, b, c].every((f) => f.now.status === "live" && f.states.length && f.v !== v) && JSON.stringify(c.now.data) === JSON.stringify(value))
  }
  await show("v1", [{ id: 1, tags: ["x"] }, { id: 2, tags: [] }], { n: 1, deep: { list: [1] } })
  const [one, two] = a.now.data, placed = b.now.data, value = c.now.data
  await show("v2", [{ id: 3, tags: [] }, { id: 1, tags: ["x"] }, { id: 2, tags: ["y"] }], { n: 2, deep: { list: [1] } })
  assert.equal(a.now.data[1], one)
  assert.notEqual(a.now.data[2], two)
  assert.notEqual(b.now.data[0], placed[0])
  assert.equal(c.now.data.deep, value.deep)
  assert.notEqual(c.now.data, value)
  await show("v3", [{ id: 3, tags: [] }], { n: 3 })
  assert.deepEqual([a.now.data, b.now.data], [[{ id: 3, tags: [] }], [{ id: 3, tags: [] }]])
  assert.deepEqual(c.now.data, { n: 3 })
})

test("a broken stream comes back with what it holds", async () => {
  still()
  const { a, stream } = await live()
  const b = follow("b")
  ;(await server.next("POST /v1/stream/s1")).reply(204)
  stream.send("ping", { at: "at2" })
  stream.send("sub", { id: 2, status: "denied" })
  await b.status("denied")
  const before = a.now.data
  stream.cut()
  await a.status("stale")
  assert.equal(a.now.data, before)
  assert.equal(a.now.error.code, "network")
  timers.tick(500)
  const open = await server.next("POST /v1/stream")
  assert.deepEqual(open.body, { at: "at2", subs: [{ id: 1, q: "messages.list", args: { room: 7 }, have: "v1" }, { id: 2, q: "b", args: {} }] })
  const next = open.stream({ sid: "s2" })
  next.send("sub", { id: 1, q: "qz", v: "v1", status: "unchanged", at: "at3" })
  await a.status("live")
  assert.equal(a.now.data, before)
  next.send("sub", { id: 1, q: "qz", v: "v2", status: "live" })
  next.rows("qz", "v2", [])
  await until("no rows", () => a.now.data.length === 0)
})

test("back-off doubles from 0.5 s to 30 s, with full jitter, and ends after health", async () => {
  still()
  const a = follow("a")
  ;(await server.next("POST /v1/stream")).reply(503, { code: "overload", message: "m", retryable: true })
  for (const delay of [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]) {
    await until("an error", () => a.now.error?.code === "overload" && a.now.status === "connecting")
    const seen = a.now
    timers.tick(delay - 1)
    await new Promise(setImmediate)
    assert.ok(server.idle(), "too early before " + delay)
    timers.tick(1)
    ;(await server.next("POST /v1/stream")).reply(503, { code: "overload", message: "m", retryable: true })
    await until("the next error", () => a.now !== seen)
  }
  Math.random.mock.mockImplementation(() => 0.5)
  timers.tick(30000)
  let stream = (await server.next("POST /v1/stream")).stream()
  stream.send("sub", { id: 1, q: "q", v: "v", status: "live" })
  stream.rows("q", "v", [])
  await a.status("live")
  timers.tick(30000)
  stream.end()
  await a.status("stale")
  timers.tick(250)
  stream = (await server.next("POST /v1/stream")).stream()
})

test("Retry-After is the least", async () => {
  still()
  const a = follow("a")
  ;(await server.next("POST /v1/stream")).reply(503, { code: "overload", message: "m", retryable: true }, { "Retry-After": "4" })
  await until("an error", () => a.now.error)
  timers.tick(3999)
  await new Promise(setImmediate)
  assert.ok(server.idle())
  timers.tick(1)
  ;(await server.next("POST /v1/stream")).stream()
})

test("a drain comes back when the server says, and is no failure", async () => {
  still()
  let { a, stream } = await live()
  for (let n = 0; n < 5; n++) {
    stream.send("close", { reason: "drain", retry_ms: 8120 })
    await a.status("stale")
    assert.equal(a.now.error.code, "drain")
    timers.tick(8119)
    await new Promise(setImmediate)
    assert.ok(server.idle())
    timers.tick(1)
    stream = (await server.next("POST /v1/stream")).stream()
    stream.send("sub", { id: 1, q: "q", v: "v1", status: "unchanged" })
    await a.status("live")
  }
  stream.send("close", { reason: "slow", retry_ms: 100 })
  await a.status("stale")
  timers.tick(500) // the first failure
  ;(await server.next("POST /v1/stream")).stream()
})

test("a session that is gone is opened anew", async () => {
  still()
  const { a } = await live()
  const b = follow("b")
  ;(await server.next("POST /v1/stream/s1")).reply(404, { code: "session_gone", message: "gone" })
  await a.status("stale")
  timers.tick(500)
  const open = await server.next("POST /v1/stream")
  assert.deepEqual(open.body.subs.map((s) => [s.q, s.have]), [["messages.list", "v1"], ["b", undefined]])
  const stream = open.stream({ sid: "s2" })
  stream.send("sub", { id: 1, q: "q", v: "v1", status: "unchanged" })
  await a.status("live")
  assert.equal(b.now.status, "connecting")
})

test("expiring renews the token on the open session", async () => {
  const tokens = ["t1", "t2", "t3"]
  still({ token: async () => tokens.shift() })
  const { open, stream } = await live()
  assert.equal(open.headers.authorization, "Bearer t1")
  stream.send("expiring", { in_ms: 30000 })
  let renewal
  await until("renewal", () => (timers.tick(0), !server.idle()))
  renewal = await server.next("POST /v1/stream/s1")
  assert.equal(renewal.headers.authorization, "Bearer t2")
  assert.deepEqual(renewal.body, {})
  renewal.reply(204)
  // Very short tokens do not make a storm.
  stream.send("expiring", { in_ms: 1000 })
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "stale" })
  await until("stale", () => client && tokens.length === 1)
  for (let n = 0; n < 20; n++) await new Promise(setImmediate)
  assert.ok(server.idle())
  timers.tick(5000)
  renewal = await server.next("POST /v1/stream/s1")
  assert.equal(renewal.headers.authorization, "Bearer t3")
  renewal.reply(204)
})

test("a refused token is asked for again", async () => {
  let n = 0
  still({ token: () => "t" + ++n })
  const a = follow("a")
  ;(await server.next("POST /v1/stream")).reply(401, { code: "expired", message: "the token has expired" })
  await a.status("error")
  assert.equal(a.now.error.code, "expired")
  timers.tick(500)
  const open = await server.next("POST /v1/stream")
  assert.equal(open.headers.authorization, "Bearer t2")
  const stream = open.stream()
  stream.send("sub", { id: 1, q: "q", v: "v", status: "live" })
  stream.rows("q", "v", [])
  await a.status("live")
  const answer = client.call("post", { a: 1 })
  ;(await server.next("POST /v1/call/post")).reply(401, { code: "expired", message: "m" })
  const again = await server.next("POST /v1/call/post")
  assert.equal(again.headers.authorization, "Bearer t3")
  again.reply(200, { result: { id: 5 }, tx: null })
  assert.deepEqual(await answer, { id: 5 })
})

test("a stream that is silent for 2.5 pings is left", async () => {
  still()
  const { a, stream } = await live()
  timers.tick(62_000)
  stream.raw(": anything is a sign of life\n\n")
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "stale", reason: "unavailable" })
  await a.status("stale")
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  await a.status("live")
  timers.tick(62_499)
  assert.equal(a.now.status, "live")
  timers.tick(1)
  assert.equal(a.now.status, "stale")
  assert.equal(a.now.error.message, "the server is silent")
  await stream.gone
  timers.tick(500)
  ;(await server.next("POST /v1/stream")).stream()
})

test("denied drops the rows, and allowed brings them back", async () => {
  still()
  const { a, stream } = await live()
  stream.send("sub", { id: 1, status: "denied", reason: "not_a_member" })
  await a.status("denied")
  assert.equal(a.now.data, undefined)
  assert.deepEqual([a.now.error.code, a.now.error.reason], ["denied", "not_a_member"])
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  stream.rows("qa", "v1", [{ id: 1 }])
  await a.status("live")
  stream.send("sub", { id: 1, status: "denied" })
  await a.status("denied")
  a.close()
  follow("messages.list", { room: 7 }) // tried anew, at once
  const change = await server.next("POST /v1/stream/s1")
  assert.deepEqual(change.body, { add: [{ id: 2, q: "messages.list", args: { room: 7 } }], drop: [1] })
  change.reply(204)
})

test("a denial tells why, once, and drops what was announced", async () => {
  still()
  const { a, stream } = await live()
  // Rows that were announced before the denial and come after it are nobody's.
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "live" })
  stream.send("sub", { id: 1, q: "qa", status: "denied", reason: "not_a_member" })
  stream.rows("qa", "v2", [{ id: 2 }])
  stream.send("sub", { id: 1, status: "denied", reason: "not_a_member" })
  await a.status("denied")
  stream.send("sub", { id: 1, status: "denied", reason: "banned" })
  await until("another reason", () => a.now.error.reason === "banned")
  assert.equal(a.now.data, undefined)
  await until("the callbacks", () => a.states.at(-1) === a.now)
  for (const s of a.states) assert.ok(!s.data?.some((row) => row.id === 2), "rows of after the denial")
  // Equal rows after it are new objects: nothing was kept.
  const before = a.states.find((s) => s.data).data[0]
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  assert.equal(a.now.data, undefined)
  stream.rows("qa", "v1", [{ id: 1 }])
  await a.status("live")
  assert.deepEqual(a.now.data, [{ id: 1 }])
  assert.notEqual(a.now.data[0], before)
})

test("a denied subscription comes back denied, with nothing held", async () => {
  still()
  const { a, stream } = await live()
  stream.send("sub", { id: 1, status: "denied", reason: "not_a_member" })
  await a.status("denied")
  stream.cut()
  await stream.gone
  await until("the end was noticed", () => (timers.tick(500), !server.idle()))
  assert.deepEqual([a.now.status, a.now.data, a.now.error.reason], ["denied", undefined, "not_a_member"])
  const open = await server.next("POST /v1/stream")
  assert.deepEqual(open.body, { at: "at1", subs: [{ id: 1, q: "messages.list", args: { room: 7 } }] })
  const next = open.stream({ sid: "s2" })
  const told = a.states.length
  next.send("sub", { id: 1, status: "denied", reason: "not_a_member" })
  next.send("sub", { id: 1, q: "qz", v: "v1", status: "live" })
  next.rows("qz", "v1", [{ id: 1 }])
  await a.status("live")
  await until("the callback", () => a.states.at(-1) === a.now)
  assert.deepEqual(statuses(a).slice(told), ["live"])
})

test("stale keeps the rows, with and without a version", async () => {
  still()
  const { a, stream } = await live()
  const before = a.now.data
  for (const more of [{ q: "qa", v: "v1" }, {}]) {
    stream.send("sub", { id: 1, status: "stale", reason: "unavailable", ...more })
    await a.status("stale")
    assert.equal(a.now.data, before)
    assert.deepEqual([a.now.error.code, a.now.error.retryable], ["unavailable", true])
    stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
    await a.status("live")
    assert.equal(a.now.data, before)
  }
  // One that was never shown anything has nothing to keep.
  const b = follow("b")
  ;(await server.next("POST /v1/stream/s1")).reply(204)
  stream.send("sub", { id: 2, status: "stale", reason: "internal" })
  await b.status("stale")
  assert.equal(b.now.data, undefined)
  stream.send("sub", { id: 2, status: "denied", reason: "not_a_member" })
  await b.status("denied")
})

test("a subscription that moves follows its new group alone", async () => {
  still()
  const { a, stream } = await live()
  const b = follow("messages.list", { room: 7, limit: 50 })
  ;(await server.next("POST /v1/stream/s1")).reply(204)
  stream.send("sub", { id: 2, q: "qa", v: "v1", status: "unchanged" })
  stream.rows("qa", "v1", [{ id: 1 }])
  stream.send("sub", { id: 2, q: "qb", v: "v1", status: "unchanged" })
  stream.send("sub", { id: 2, q: "qb", v: "v2", status: "live" })
  stream.rows("qb", "v2", [{ id: 2 }])
  await until("b moved", () => b.now.data?.[0].id === 2)
  assert.equal(a.now.data[0].id, 1)
  // The old group's frames are the other subscription's.
  stream.send("sub", { id: 1, q: "qa", v: "v3", status: "live" })
  stream.rows("qa", "v3", [{ id: 3 }])
  await until("a goes on", () => a.now.data[0].id === 3)
  assert.equal(b.now.data[0].id, 2)
  // Another scope: dark between, and what is in flight of the old one is dropped.
  stream.send("sub", { id: 2, q: "qb", status: "denied", reason: "scope_changed" })
  stream.rows("qb", "v4", [{ id: 4 }])
  await b.status("denied")
  assert.equal(b.now.error.reason, "scope_changed")
  stream.send("sub", { id: 2, q: "qc", v: "v5", status: "live" })
  stream.rows("qb", "v5", [{ id: 4 }])
  stream.rows("qc", "v5", [{ id: 5 }])
  await b.status("live")
  assert.deepEqual(b.now.data, [{ id: 5 }])
  await until("the callbacks", () => b.states.at(-1) === b.now)
  assert.ok(!b.states.some((s) => s.data?.[0].id === 4))
})

test("a problem is a state, or the end of a subscription", async () => {
  still()
  const { a, stream } = await live()
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "error", reason: "deadline" })
  stream.send("problem", { id: 1, code: "deadline", message: "took too long", retryable: true })
  await a.status("error")
  assert.deepEqual([a.now.error.code, a.now.error.retryable, a.now.data.length], ["deadline", true, 1])
  stream.send("sub", { id: 1, q: "qa", v: "v1", status: "live" })
  await a.status("live")

  const b = follow("b")
  ;(await server.next("POST /v1/stream/s1")).reply(204)
  stream.send("problem", { id: 2, code: "overload", message: "busy", retryable: true })
  await b.status("error")
  timers.tick(500)
  const change = await server.next("POST /v1/stream/s1")
  assert.deepEqual(change.body, { add: [{ id: 2, q: "b", args: {} }], drop: [] })
  change.reply(204)
  stream.send("end", { id: 2, reason: "plugin_removed", message: "the plugin was removed" })
  await until("removed", () => b.now.error.code === "plugin_removed")
  b.close()
  for (let n = 0; n < 20; n++) await new Promise(setImmediate)
  assert.ok(server.idle(), "what the server has ended is not dropped")
})

test("one bad subscription does not stop the others", async () => {
  connect()
  const a = follow("a"), bad = follow("bad", { text: "\ud800" }), c = follow("c")
  const refusal = { code: "bad_request", message: "the text is not valid", retryable: false }
  ;(await server.next("POST /v1/stream")).reply(400, refusal)
  const open = await server.next("POST /v1/stream")
  assert.deepEqual(open.body, { subs: [] })
  const stream = open.stream()
  for (const name of ["a", "bad", "c"]) {
    const change = await server.next("POST /v1/stream/s1")
    assert.deepEqual(change.body.add.map((s) => s.q), [name])
    if (name === "bad") change.reply(400, refusal)
    else change.reply(204)
  }
  for (const id of [1, 3]) {
    stream.send("sub", { id, q: "q" + id, v: "v", status: "live" })
    stream.rows("q" + id, "v", [])
  }
  await a.status("live")
  await c.status("live")
  assert.deepEqual([bad.now.status, bad.now.error.code], ["error", "bad_request"])
})

test("get and call answer, and their errors have codes", async () => {
  connect({ token: null })
  let answer = client.get("rooms.list", { b: 2, a: 1 })
  let r = await server.next("GET /v1/q/rooms.list?args=" + encodeURIComponent('{"a":1,"b":2}'))
  assert.equal(r.headers.authorization, undefined)
  r.reply(200, { v: "v", key: ["id"], rows: [{ id: 1 }] })
  assert.deepEqual(await answer, [{ id: 1 }])
  answer = client.get("long", { text: "x".repeat(2000) })
  r = await server.next("POST /v1/q/long")
  assert.equal(r.body.text.length, 2000)
  r.reply(200, { v: "v", value: null })
  assert.equal(await answer, null)
  answer = client.call("messages.post", { body: "" })
  ;(await server.next("POST /v1/call/messages.post")).reply(422, { code: "empty", message: "write something first", request_id: "r1" })
  await assert.rejects(answer, (e) => e instanceof WeirError && e instanceof Error &&
    e.code === "empty" && e.message === "write something first" && !e.retryable && e.requestId === "r1" && e.status === 422)
  answer = client.call("x")
  ;(await server.next("POST /v1/call/x")).reply(502)
  await assert.rejects(answer, { code: "http", retryable: true })
  const aborted = new AbortController()
  answer = client.call("x", {}, { signal: aborted.signal })
  await server.next("POST /v1/call/x")
  aborted.abort()
  await assert.rejects(answer, { name: "AbortError" })
  assert.ok(server.idle(), "a call that was given up is not sent again")
})

test("credentials are those of every request, and not mentioned without", async () => {
  for (const credentials of [undefined, "include"]) {
    const seen = []
    const send = async (_, options) => (seen.push(options.credentials), Response.json({ v: "v", value: 1, result: 1 }))
    const other = createClient({ url: server.url, credentials, fetch: send, token: null })
    await other.get("a")
    await other.call("b")
    assert.deepEqual(seen, [credentials, credentials])
    other.close()
  }
})

test("a call ends when the stream shows what it wrote", async () => {
  connect({ token: "t" })
  const { a, stream } = await live()
  const seen = []
  const answer = client.call("messages.post", { body: "hi" }).then((r) => seen.push(r, a.now.data.length))
  const r = await server.next("POST /v1/call/messages.post")
  assert.equal(r.headers["weir-session"], "s1")
  assert.match(r.headers["idempotency-key"], /^.{20,64}$/)
  r.reply(200, { result: { id: 2 }, tx: "t1" })
  for (let n = 0; n < 50; n++) await new Promise(setImmediate)
  assert.deepEqual(seen, [], "nothing is shown yet")
  stream.send("synced", { tx: "t0" })
  stream.send("sub", { id: 1, q: "qa", v: "v2", status: "live" })
  stream.rows("qa", "v2", [{ id: 1 }, { id: 2 }])
  stream.send("synced", { tx: "t1", at: "at2" })
  await answer
  assert.deepEqual(seen, [{ id: 2 }, 2])

  // The stream may be quicker than the answer; nothing written is not waited for;
  // a stream that ends shows nothing any more.
  const quick = client.call("messages.post", {})
  const q = await server.next("POST /v1/call/messages.post")
  stream.send("synced", { tx: "t2" })
  await until("synced", () => true)
  q.reply(200, { result: 3, tx: "t2" })
  assert.equal(await quick, 3)
  const nothing = client.call("noop")
  ;(await server.next("POST /v1/call/noop")).reply(200, { result: 4, tx: null })
  assert.equal(await nothing, 4)
  const cut = client.call("messages.post", {})
  ;(await server.next("POST /v1/call/messages.post")).reply(200, { result: 5, tx: "t3" })
  stream.end()
  assert.equal(await cut, 5)
})

test("a call whose answer is lost is sent again with its key", async () => {
  connect({ token: "t" })
  const answer = client.call("messages.post", { body: "hi" })
  const r = await server.next("POST /v1/call/messages.post")
  assert.equal(r.headers["weir-session"], undefined)
  r.cut()
  const again = await server.next("POST /v1/call/messages.post")
  assert.equal(again.headers["idempotency-key"], r.headers["idempotency-key"])
  assert.deepEqual(again.body, { body: "hi" })
  again.reply(200, { result: 7, tx: "t" })
  assert.equal(await answer, 7)
  const other = client.call("messages.post", { body: "hi" })
  const o = await server.next("POST /v1/call/messages.post")
  assert.notEqual(o.headers["idempotency-key"], r.headers["idempotency-key"])
  o.reply(200, { result: 8, tx: null })
  assert.equal(await other, 8)
})

test("a server that is not there is a network error", async () => {
  connect()
  await server.close()
  await assert.rejects(client.get("a"), { code: "network", retryable: true })
})

test("an abort signal closes a subscription", async () => {
  still()
  const { a, stream } = await live()
  const aborted = new AbortController()
  const b = follow("messages.list", { room: 7 }, { signal: aborted.signal })
  a.close()
  await until("told", () => b.states.length === 1)
  aborted.abort()
  timers.tick(5000)
  await stream.gone
  const c = follow("x", {}, { signal: aborted.signal })
  for (let n = 0; n < 20; n++) await new Promise(setImmediate)
  assert.ok(server.idle())
  assert.deepEqual(c.states, [])
})

test("close ends the stream and every callback", async () => {
  connect()
  const { a, stream } = await live()
  const told = a.states.length
  client.close()
  client.close()
  await stream.gone
  a.close()
  assert.throws(() => client.subscribe("a", {}, () => {}), { code: "closed" })
  await assert.rejects(client.get("a"), { code: "closed" })
  assert.equal(a.states.length, told)
  assert.deepEqual(statuses(a), ["connecting", "live"])
})
