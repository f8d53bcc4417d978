// What the page knows: the newest overview, and a short history of figures. The
// server keeps no history; it begins when the page is opened.
import { ask } from "./dom.js"

export const ROOM = 90 // points of a chart, one a second
export const state = { overview: null, error: null, history: {} }
let last = null
let listeners = []

export const onTick = (f) => listeners.push(f)

function note(name, value) {
  const list = (state.history[name] ??= [])
  list.push(value)
  if (list.length > ROOM) list.shift()
}

async function tick() {
  try {
    const o = await ask("/api/overview")
    const now = performance.now()
    if (last && o.up_ms >= last.o.up_ms) {
      const s = (now - last.at) / 1000
      const rate = (f) => Math.max(0, (f(o) - f(last.o)) / s)
      note("runs", rate((o) => o.reactor.executions))
      note("changes", rate((o) => o.log.changes))
      note("frames", rate((o) => o.streams.frames))
      const ran = o.reactor.executions - last.o.reactor.executions
      note("same", ran ? (o.reactor.same - last.o.reactor.same) / ran : 0)
    }
    note("subscriptions", o.reactor.subscriptions)
    note("groups", o.reactor.groups)
    note("age", o.log.age_ms)
    last = { o, at: now }
    state.overview = o
    state.error = null
  } catch (e) {
    state.error = e
    last = null
  }
  for (const f of listeners) f()
}

export async function run() {
  for (;;) {
    if (!document.hidden) await tick()
    await new Promise((r) => setTimeout(r, 1000))
  }
}
