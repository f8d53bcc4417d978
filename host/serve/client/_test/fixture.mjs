// A client of a fake server, and what tests ask of it.
import { afterEach, beforeEach, mock } from "node:test"
import { createClient } from "../weir.js"
import { fakeServer, fakeTimers, until } from "./server.mjs"

/** Gives every test of a file a server of its own, and ends what it made. */
export function fixture() {
  const f = { server: undefined, client: undefined, timers: undefined, clients: [] }
  beforeEach(async () => {
    f.server = await fakeServer()
  })
  afterEach(async () => {
    for (const c of f.clients.splice(0)) c.close()
    f.timers?.restore()
    f.timers = undefined
    mock.restoreAll()
    await f.server.close()
  })
  f.connect = (options) => {
    f.client = createClient({ url: f.server.url, ...options })
    f.clients.push(f.client)
    return f.client
  }
  /** A client whose timers stand still until the test ticks them; random is 1. */
  f.still = (options) => {
    f.timers = fakeTimers()
    mock.method(Math, "random", () => 1)
    return f.connect(options)
  }
  /** Subscribes and keeps every state that was told. */
  f.follow = (name, args, client = f.client) => {
    const states = []
    const sub = client.subscribe(name, args, (s) => states.push(s))
    return { ...sub, states, get now() { return sub.current }, status: (want) => until(name + " " + want, () => sub.current.status === want) }
  }
  /** One live subscription of one row. */
  f.live = async () => {
    const a = f.follow("messages.list", { room: 7 })
    const open = await f.server.next("POST /v1/stream")
    const stream = open.stream()
    f.show(stream, "v1", [{ id: 1 }])
    await a.status("live")
    return { a, open, stream }
  }
  f.show = (stream, v, rows, more) => {
    stream.send("sub", { id: 1, q: "qa", v, status: "live", at: "at-" + v, ...more })
    stream.rows("qa", v, rows)
  }
  return f
}

/** A token as it is written; nobody here looks at the signature. */
export const jwt = (claims) => ["e30", Buffer.from(JSON.stringify(claims)).toString("base64url"), "sig"].join(".")
