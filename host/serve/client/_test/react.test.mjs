// The hooks in React itself. `.ci/deps client` installs it; without it the Go test
// that runs this file says so.
import assert from "node:assert/strict"
import { cpSync, existsSync } from "node:fs"
import { test } from "node:test"
import { fixture } from "./fixture.mjs"
import { until } from "./server.mjs"

const installed = existsSync(new URL("node_modules/react-test-renderer", import.meta.url))
const options = { skip: !installed && "React is not installed" }
const f = fixture()
// As npm would install it: beside React.
if (installed) for (const name of ["package.json", "weir.js", "react.js"]) cpSync(new URL("../" + name, import.meta.url), new URL("node_modules/weir/" + name, import.meta.url))
globalThis.IS_REACT_ACT_ENVIRONMENT = true

async function load() {
  const React = (await import("react")).default
  const { create, act } = (await import("react-test-renderer")).default
  const hooks = await import("weir/react")
  return { React, create, act, ...hooks }
}

/** Renders and keeps what every render saw. */
async function render(use, props = {}, { strict = true } = {}) {
  const r = await load()
  const seen = []
  const Probe = (p) => {
    seen.push(use(r, p))
    return null
  }
  const tree = (p) => {
    const inner = r.React.createElement(r.WeirProvider, { client: f.client }, r.React.createElement(Probe, p))
    return strict ? r.React.createElement(r.React.StrictMode, null, inner) : inner
  }
  let root
  await r.act(async () => { root = r.create(tree(props)) })
  return {
    ...r, seen,
    get now() { return seen.at(-1) },
    update: (p) => r.act(async () => root.update(tree(p))),
    unmount: () => r.act(async () => root.unmount()),
    until: (what, holds) => r.act(() => until(what, holds)),
  }
}

test("useLive follows a query, in StrictMode with one subscription", options, async () => {
  f.connect()
  const r = await render(({ useLive }, p) => useLive("messages.list", { room: p.room }), { room: 7 })
  assert.equal(r.now.status, "connecting")
  const open = await f.server.next("POST /v1/stream")
  assert.equal(open.body.subs.length, 1)
  const stream = open.stream()
  const [sub] = open.body.subs
  f.show(stream, "v1", [{ id: 1 }], { id: sub.id })
  await r.until("live", () => f.client.peek("messages.list", { room: 7 }).status === "live")
  assert.deepEqual([r.now.status, r.now.data], ["live", [{ id: 1 }]])
  const state = r.now
  await r.update({ room: 7 }) // an equal object of arguments is the same subscription
  assert.equal(r.now, state)
  assert.ok(f.server.idle())
  stream.send("sub", { id: sub.id, status: "denied", reason: "no" })
  await r.until("denied", () => f.client.peek("messages.list", { room: 7 }).status === "denied")
  assert.deepEqual([r.now.status, r.now.data], ["denied", undefined])
  await r.unmount()
  await stream.gone
})

test("useLive skips, keeps what other arguments showed, and begins with what was given", options, async () => {
  f.connect()
  const r = await render(({ useLive }, p) => useLive("messages.list", p.room ? { room: p.room } : "skip", { initial: p.initial, keep: true }), {})
  assert.equal(r.now.status, "connecting")
  await new Promise(setImmediate)
  assert.ok(f.server.idle())
  await r.update({ room: 7, initial: [{ id: 0 }] })
  assert.deepEqual([r.now.status, r.now.data], ["connecting", [{ id: 0 }]])
  const open = await f.server.next("POST /v1/stream")
  const stream = open.stream()
  f.show(stream, "v1", [{ id: 1 }], { id: open.body.subs[0].id })
  await r.until("live", () => f.client.peek("messages.list", { room: 7 }).status === "live")
  await r.update({ room: 8 })
  assert.deepEqual([r.now.status, r.now.data], ["connecting", [{ id: 1 }]])
  const change = await f.server.next("POST /v1/stream/s1")
  change.reply(204)
  stream.send("sub", { id: change.body.add[0].id, status: "denied", reason: "no" })
  await r.until("denied", () => f.client.peek("messages.list", { room: 8 }).status === "denied")
  assert.deepEqual([r.now.status, r.now.data], ["denied", undefined])
  await r.unmount()
})

test("useCall tells that it runs, and why it failed", options, async () => {
  f.connect()
  const r = await render(({ useCall }) => useCall("messages.post"))
  assert.deepEqual([r.now.pending, r.now.error], [false, undefined])
  let done
  await r.act(async () => { done = r.now.call({ room: 7 }).catch((e) => e.code) })
  assert.equal(r.now.pending, true)
  ;(await f.server.next("POST /v1/call/messages.post")).reply(403, { code: "denied", message: "no" })
  await r.act(async () => assert.equal(await done, "denied"))
  assert.deepEqual([r.now.pending, r.now.error.code], [false, "denied"])
  await r.unmount()
})

test("on the server there is what was given, and nothing is asked for", options, async () => {
  f.connect()
  const { renderToString } = await import("react-dom/server")
  const { React, WeirProvider, useLive } = await load()
  const Page = () => React.createElement("p", null, useLive("a", {}, { initial: "first" }).data)
  const tree = React.createElement(WeirProvider, { client: f.client }, React.createElement(Page))
  assert.equal(renderToString(tree), "<p>first</p>")
  assert.ok(f.server.idle())
})
