// A server that does what a test says, request by request.
import http from "node:http"

export async function fakeServer() {
  const arrived = []
  let wanted = []
  const server = http.createServer(async (req, res) => {
    let text = ""
    for await (const piece of req) text += piece
    arrived.push({
      method: req.method, path: req.url, headers: req.headers, body: text && JSON.parse(text),
      reply(status, body, headers = {}) {
        const type = status >= 400 ? "application/problem+json" : "application/json"
        res.writeHead(status, { "Content-Type": type, ...headers })
        res.end(body === undefined ? undefined : JSON.stringify(body))
      },
      cut: () => res.destroy(),
      stream(hello = {}) {
        res.writeHead(200, { "Content-Type": "text/event-stream" })
        const out = {
          gone: new Promise((done) => res.on("close", done)),
          raw: (t) => res.write(t),
          send: (event, data) => res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`),
          rows: (q, v, rows, key = ["id"]) => res.write(`data: ${JSON.stringify({ q, v, key, rows })}\n\n`),
          delta: (q, from, v, set, del = []) => out.send("delta", { q, from, v, set, del }),
          end: () => res.end(),
          cut: () => res.destroy(),
        }
        out.raw("retry: 3000\n\n")
        if (hello) out.send("hello", { sid: "s1", ping_ms: 25000, max_subs: 100, server: "t", ...hello })
        return out
      },
    })
    for (const look of wanted) look()
  })
  await new Promise((done) => server.listen(0, "127.0.0.1", done))
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    /** The next request, which must be this one. */
    async next(want) {
      await until("a request: " + want, () => arrived.length)
      const r = arrived.shift()
      // Every stream asks for deltas.
      if (`${r.method} ${r.path.replace("/stream?delta=1", "/stream")}` !== want) throw new Error(`got ${r.method} ${r.path}, want ${want}`)
      return r
    },
    idle: () => arrived.length === 0,
    close() {
      server.closeAllConnections()
      return new Promise((done) => server.close(done))
    },
  }
}

/** Waits for a condition on the real clock, whatever a test did to timers. */
export async function until(what, holds) {
  const end = performance.now() + 10_000
  while (!holds()) {
    if (performance.now() > end) throw new Error("waited in vain for " + what)
    await new Promise(setImmediate)
  }
}

/** The client's timers and clock stand still until a test ticks them; the ones of
 * Node's own fetch run on. Node's mock of timers is not used: it clears the wrong
 * timer when one is cleared twice. */
export function fakeTimers() {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: Date.now }
  const ours = () => new Error().stack.split("\n")[3].includes("/weir.js")
  let now = 1e12, ids = 0
  const timers = new Map()
  globalThis.setTimeout = (f, ms = 0, ...args) => {
    if (!ours()) return real.setTimeout(f, ms, ...args)
    timers.set(++ids, { at: now + ms, run: () => f(...args) })
    return ids
  }
  globalThis.clearTimeout = (id) => timers.delete(id) || real.clearTimeout(id)
  Date.now = () => (ours() ? now : real.now())
  return {
    tick(ms) {
      const end = now + ms
      for (;;) {
        const [id, first] = [...timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? []
        if (!first || first.at > end) break
        timers.delete(id)
        now = Math.max(now, first.at)
        first.run()
      }
      now = end
    },
    restore() {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout })
      Date.now = real.now
    },
  }
}
