// Tabs that share a stream, with the browser's locks as a page sees them. What a
// real browser makes of it is tested in examples/chat.
import assert from "node:assert/strict"
import { test } from "node:test"
import { fixture } from "./fixture.mjs"
import { until } from "./server.mjs"

const f = fixture()

/** Exclusive locks, first come first served; steal takes one from its holder. */
function lockManager() {
  const queues = new Map()
  const grant = (name) => {
    const [first] = queues.get(name)
    if (!first || first.held) return
    first.held = true
    Promise.resolve().then(() => first.callback()).then(first.resolve, first.reject).finally(() => leave(name, first))
  }
  const leave = (name, r) => {
    const queue = queues.get(name)
    if (!queue.includes(r)) return
    queue.splice(queue.indexOf(r), 1)
    grant(name)
  }
  return {
    request(name, ...rest) {
      const callback = rest.pop(), { signal, steal } = rest[0] ?? {}
      return new Promise((resolve, reject) => {
        const r = { callback, resolve, reject }
        if (!queues.has(name)) queues.set(name, [])
        const queue = queues.get(name)
        if (steal && queue[0]?.held) queue.shift().reject(new DOMException("stolen", "AbortError"))
        queue[steal ? "unshift" : "push"](r)
        signal?.addEventListener("abort", () => {
          if (r.held) return
          leave(name, r)
          reject(signal.reason)
        })
        grant(name)
      })
    },
  }
}
Object.defineProperty(globalThis, "navigator", { value: { locks: lockManager(), onLine: true }, configurable: true })

/** Two tabs of nobody in particular, the first of which has the stream. */
async function two() {
  const options = { shareTabs: true }
  const one = f.connect(options)
  const a = f.follow("a", {}, one)
  const stream = (await f.server.next("POST /v1/stream")).stream()
  const b = f.follow("b", {}, f.connect(options))
  const change = await f.server.next("POST /v1/stream/s1")
  assert.deepEqual(change.body, { add: [{ id: 2, q: "b", args: {} }], drop: [] })
  return { one, a, b, stream, change }
}

test("a second tab's subscriptions go by the first one's stream, and survive it", async () => {
  const { one, b, stream, change } = await two()
  change.reply(204)
  stream.send("sub", { id: 2, q: "qb", v: "v1", status: "live" })
  stream.rows("qb", "v1", [{ id: 1 }, { id: 2 }])
  await b.status("live")
  const [first] = b.now.data
  stream.send("sub", { id: 2, q: "qb", v: "v2", status: "live" })
  stream.rows("qb", "v2", [{ id: 1 }, { id: 3 }])
  await until("the change", () => b.now.data[1].id === 3)
  assert.equal(b.now.data[0], first) // also across tabs
  // Its calls are followed by the other one's stream.
  const done = f.client.call("post", {})
  const call = await f.server.next("POST /v1/call/post")
  assert.equal(call.headers["weir-session"], "s1")
  let over = false
  done.then(() => (over = true))
  call.reply(200, { result: 1, tx: "t1" })
  await new Promise(setImmediate)
  assert.equal(over, false)
  stream.send("synced", { tx: "t1" })
  await done
  // The first tab is closed: the second comes with what it holds.
  const before = b.now.data
  one.close()
  await stream.gone
  const open = await f.server.next("POST /v1/stream")
  assert.deepEqual(open.body.subs, [{ id: 1, q: "b", args: {}, have: "v2" }])
  const next = open.stream({ sid: "s2" })
  next.send("sub", { id: 1, q: "qz", v: "v2", status: "unchanged" })
  await b.status("live")
  assert.equal(b.now.data, before)
  assert.ok(b.states.every((s) => s.status !== "denied" && (s.data || s.status === "connecting")))
})

test("what is denied to the stream's tab is denied to all", async () => {
  const { b, stream, change } = await two()
  change.reply(204)
  stream.send("sub", { id: 2, q: "qb", v: "v1", status: "live" })
  stream.rows("qb", "v1", [{ id: 1 }])
  await b.status("live")
  stream.send("sub", { id: 2, status: "denied", reason: "not_a_member" })
  await b.status("denied")
  assert.deepEqual([b.now.data, b.now.error.code, b.now.error.reason], [undefined, "denied", "not_a_member"])
  stream.send("sub", { id: 2, q: "qb", v: "v1", status: "live" })
  stream.rows("qb", "v1", [{ id: 1 }])
  await b.status("live")
})

test("a tab that finds no room in the stream opens its own", async () => {
  const { b, change } = await two()
  change.reply(429, { code: "limit", message: "a session may have 100 subscriptions", retryable: true })
  const open = await f.server.next("POST /v1/stream")
  assert.deepEqual(open.body.subs, [{ id: 1, q: "b", args: {} }])
  const stream = open.stream({ sid: "s2" })
  stream.send("sub", { id: 1, q: "qb", v: "v1", status: "live" })
  stream.rows("qb", "v1", [])
  await b.status("live")
})
