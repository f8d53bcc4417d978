// The playground calls functions as a client does: by the public API, under the
// public API's rules. Nothing can be seen here that its caller may not see.
import { ask, bytes, h, millis, pill } from "./dom.js"
import { state } from "./state.js"
import { whyCards } from "./views.js"

const memory = { name: "", tenant: "", args: {}, as: "ann", token: "" } // while the page is open, and no longer
const KEEP = 30 // frames
let stop = null

export function leave() {
  stop?.abort()
  stop = null
}

/** example makes arguments of a JSON Schema: what is required, and defaults. */
function example(schema) {
  const out = {}
  for (const [name, p] of Object.entries(schema?.properties ?? {})) {
    const type = [p.type].flat()[0]
    if (p.default !== undefined) out[name] = p.default
    else if (schema.required?.includes(name)) out[name] = p.enum ? p.enum[0] : { integer: 1, number: 1, boolean: false, array: [], object: {} }[type] ?? ""
  }
  return JSON.stringify(out, null, 2)
}

/** events reads server-sent events of a response. */
async function* events(response) {
  let buffer = ""
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    buffer += value
    for (let at; (at = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(at + 2)) {
      const event = { name: "", data: "" }
      for (const line of buffer.slice(0, at).split("\n")) {
        if (line.startsWith("event:")) event.name = line.slice(6).trim()
        if (line.startsWith("data:")) event.data += line.slice(5).trim()
      }
      if (event.data) yield { name: event.name, data: JSON.parse(event.data) }
    }
  }
}

export async function playground([tenant, name]) {
  leave()
  const all = (await ask("/api/functions")).filter((f) => f.kind !== "policy")
  const dev = state.overview.dev
  const find = (t, n) => all.find((f) => f.tenant === t && f.name === n)
  let fn = find(tenant, name) ?? find(memory.tenant, memory.name) ?? all.find((f) => f.plugin !== "weir" && f.kind === "query") ?? all[0]
  if (!fn) return [h("h1", null, "Playground"), h("p", { class: "empty" }, "No function is there yet.")]

  const select = h("select", { id: "function" }, all.map((f) => h("option", { value: f.tenant + "/" + f.name, selected: f === fn }, f.name + (state.overview.tenants.length > 1 ? "  " + f.tenant : ""))))
  const args = h("textarea", { id: "args", spellcheck: false, "aria-label": "arguments" })
  const who = dev
    ? h("label", null, "as user", h("input", { id: "as", value: memory.as, placeholder: "nobody", input: (e) => (memory.as = e.target.value.trim()) }))
    : h("label", null, "token (kept only in this page)", h("input", { id: "token", type: "password", autocomplete: "off", value: memory.token, placeholder: "none: anonymous", input: (e) => (memory.token = e.target.value.trim()) }))
  const once = h("button", { id: "run" }, "Run once"), live = h("button", { id: "live", class: "main" }, "Subscribe")
  const status = h("span", { id: "status" }), frames = h("div", { class: "frames", id: "frames" }), reason = h("div", { id: "why" }), hint = h("p", { class: "soft" })
  const whyButton = h("button", { id: "ask" }, "Why?")

  const choose = () => {
    const at = select.value.indexOf("/")
    fn = find(select.value.slice(0, at), select.value.slice(at + 1))
    Object.assign(memory, { name: fn.name, tenant: fn.tenant })
    args.value = memory.args[select.value] ?? example(fn.schema.args)
    live.hidden = whyButton.hidden = fn.kind === "mutation"
    once.textContent = fn.kind === "mutation" ? "Call" : "Run once"
    once.className = fn.kind === "mutation" ? "main" : ""
    hint.textContent = fn.schema.doc ?? ""
    end()
    frames.replaceChildren(h("p", { class: "empty" }, fn.kind === "mutation" ? "A call writes to the database." : "Subscribe to see each result as it comes, and why."))
    reason.replaceChildren()
  }
  const headers = () => (memory.token && !dev ? { Authorization: `Bearer ${memory.token}` } : {})
  const query = () => (dev && memory.as ? "?as=" + encodeURIComponent(memory.as) : "")
  const base = () => "/play" + (state.overview.tenants.length > 1 ? "/t/" + encodeURIComponent(fn.tenant) : "") + "/v1/"
  const body = () => {
    memory.args[select.value] = args.value
    return JSON.stringify(JSON.parse(args.value || "{}"))
  }
  const end = () => {
    leave()
    live.textContent = "Subscribe"
    status.replaceChildren()
  }
  const show = (head, value) => {
    frames.querySelector(".empty")?.remove()
    const text = value === undefined ? null : h("pre", null, JSON.stringify(value, null, 2))
    const frame = h("article", { class: "frame new" }, h("div", null, h("span", { class: "soft" }, new Date().toLocaleTimeString()), head), text)
    frames.prepend(frame)
    while (frames.children.length > KEEP) frames.lastChild.remove()
    return frame.firstChild
  }
  const fail = (e) => e.name !== "AbortError" && show([pill("failed"), " ", e.message])

  // asked is the answer to /why about what is chosen, for this caller.
  const asked = () => {
    const params = new URLSearchParams({ args: body() })
    if (dev && memory.as) params.set("as", memory.as)
    return ask(`/t/${encodeURIComponent(fn.tenant)}/why/${encodeURIComponent(fn.name)}?${params}`, { headers: headers() })
  }
  const because = async (head, v) => {
    try {
      const w = await asked()
      const same = w.past.filter((r) => r.version === v)
      const run = same.find((r) => r.outcome === "frame") ?? same.at(-1)
      const text = run ? `${run.cause}; ran ${millis(run.cost_ms)}, waited ${millis(run.waited_ms)}` : w.version === v ? "it was there already" : "a newer result has replaced it"
      head.append(h("span", { class: "because" }, text))
    } catch (e) {
      head.append(h("span", { class: "soft" }, e.message))
    }
  }

  once.onclick = async () => {
    try {
      const began = performance.now()
      const mutation = fn.kind === "mutation"
      const value = await ask(base() + (mutation ? "call/" : "q/") + encodeURIComponent(fn.name) + query(), {
        method: "POST", headers: { ...headers(), "Content-Type": "application/json", Accept: "application/json" }, body: body(),
      })
      show([mutation ? "called" : "ran once", h("span", { class: "soft" }, `answered in ${millis(performance.now() - began)}`)], value)
    } catch (e) { fail(e) }
  }
  live.onclick = async () => {
    if (stop) return end()
    const mine = (stop = new AbortController())
    live.textContent = "Stop"
    status.replaceChildren(pill("running", "connecting"))
    try {
      const r = await fetch(base() + "q/" + encodeURIComponent(fn.name) + query(), {
        method: "POST", headers: { ...headers(), "Content-Type": "application/json", Accept: "text/event-stream" }, body: body(), signal: mine.signal,
      })
      if (!r.ok) throw new Error((await r.json().catch(() => ({}))).message ?? `the server answered ${r.status}`)
      for await (const e of events(r)) {
        if (stop !== mine) return
        if (e.name === "") {
          const { v, rows, value } = e.data
          because(show([h("b", null, rows ? `${rows.length} rows` : "value"), h("code", { class: "soft" }, v), h("span", { class: "soft" }, bytes(JSON.stringify(e.data).length))], rows ?? value), v)
        } else if (e.name === "sub") {
          const word = e.data.status === "unchanged" ? "live" : e.data.status
          status.replaceChildren(pill(word), e.data.reason ? " " + e.data.reason : "")
        } else if (e.name === "problem" || e.name === "end" || e.name === "close") show([pill("error", e.name), " ", e.data.message ?? e.data.reason])
      }
      if (stop === mine) end()
    } catch (e) {
      fail(e)
      if (stop === mine) end()
    }
  }
  whyButton.onclick = async () => {
    try {
      const w = await asked()
      reason.replaceChildren(h("br"), whyCards(w))
    } catch (e) { fail(e) }
  }
  select.onchange = choose
  choose()
  return [
    h("h1", null, "Playground"),
    h("p", { class: "lead" }, dev ? "Call a function as any user of this development server." : "Call a function with a token, under the rules of the public API."),
    h("div", { class: "grid" },
      h("section", { class: "card c4" }, h("div", { class: "fields" },
        h("label", null, "function", select), hint, h("label", null, "arguments", args), who,
        h("div", { class: "row" }, live, once, whyButton), status)),
      h("section", { class: "card c8" }, h("h2", null, "Results"), frames)),
    reason,
  ]
}
