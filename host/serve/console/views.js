// The parts of the page that show and do not ask for anything to be done. A view
// returns elements; it is called again each second.
import { ago, ask, bytes, chart, h, millis, number, pill, rows } from "./dom.js"
import { ROOM, state } from "./state.js"

const newest = (list) => list?.at(-1) ?? 0
const several = () => (state.overview?.tenants.length ?? 0) > 1

function figure(name, value, unit, note, history, label) {
  return h("section", { class: "card c3" },
    h("div", { class: "figure" }, h("span", { class: "name" }, name), h("span", { class: "value" }, value, unit && h("small", null, unit)), h("span", { class: "note" }, note ?? "")),
    chart(history ?? [], Math.min(ROOM, Math.max(30, history?.length ?? 0)), label ?? name))
}

function notices(o) {
  const list = o.conditions.filter((c) => !c.ok).map((c) => h("div", { class: "notice" + (c.name === "config" ? "" : " bad") }, h("b", null, c.name), ": ", c.message))
  for (const t of o.tenants)
    for (const p of t.plugins) if (p.stopped) list.push(h("div", { class: "notice bad" }, h("b", null, p.name), several() ? ` of ${t.name}` : "", ` is stopped because it keeps failing; ${p.refused} calls were refused`))
  return list
}

export async function overview() {
  const o = state.overview
  const [functions, runs] = await Promise.all([ask("/api/functions"), ask("/api/runs?limit=8")])
  const H = state.history, r = o.reactor
  const slow = functions.filter((f) => f.runs > 0).sort((a, b) => b.spent_ms - a.spent_ms).slice(0, 6)
  const most = Math.max(...slow.map((f) => f.spent_ms), 1)
  return [
    h("h1", null, "Overview"),
    h("p", { class: "lead" }, `weir ${o.version}, up for ${millis(o.up_ms)}${o.dev ? ", under weir dev" : ""}`),
    notices(o),
    h("div", { class: "grid" },
      figure("Changes", number(newest(H.changes)), "a second", `${number(o.log.changes)} read since the start`, H.changes),
      figure("Runs", number(newest(H.runs)), "a second", r.executions ? `${Math.round((100 * r.same) / r.executions)} % found the same result` : "", H.runs),
      figure("Frames", number(newest(H.frames)), "a second", `${bytes(o.streams.frame_bytes)} since the start`, H.frames),
      figure("Subscriptions", number(r.subscriptions), null, `${r.groups} results and decisions, ${o.streams.sessions} streams`, H.subscriptions),
      h("section", { class: "card c6" }, h("h2", null, "What costs"),
        rows([
          ["function", (f) => [h("a", { href: f.kind === "policy" ? "#functions" : `#playground/${f.tenant}/${f.name}` }, f.name), several() && h("span", { class: "soft" }, " " + f.tenant)]],
          ["runs", (f) => number(f.runs), "n"],
          ["each", (f) => millis(f.spent_ms / f.runs), "n"],
          ["slowest", (f) => millis(f.slowest_ms), "n"],
          ["failed", (f) => (f.failed ? pill("failed", number(f.failed)) : h("span", { class: "soft" }, "0")), "n"],
          ["total", (f) => [millis(f.spent_ms), bar(f.spent_ms / most)], "n"],
        ], slow, { empty: "Nothing has run yet: subscribe to a query." })),
      h("section", { class: "card c6" }, h("h2", null, "Change log"), log(o)),
      h("section", { class: "card c12" }, h("div", { class: "row spread" }, h("h2", null, "Newest runs"), h("a", { href: "#runs" }, "all")), runTable(runs))),
  ]
}

function bar(share) {
  const b = h("span", { class: "bar" })
  b.style.width = `${Math.max(2, Math.round(90 * share))}px`
  return h("span", { class: "track" }, b)
}

function log(o) {
  const l = o.log
  return [
    h("dl", null,
      h("dt", null, "state"), h("dd", null, l.healthy ? pill("good", "read") : pill("bad", "not read"), l.error ? " " + l.error : ""),
      h("dt", null, "last read"), h("dd", null, l.age_ms ? `${millis(l.age_ms)} ago` : "never"),
      h("dt", null, "size"), h("dd", null, bytes(l.bytes), l.rotation_held ? ` (not rotated: ${l.rotation_held})` : ""),
      h("dt", null, "behind"), h("dd", null, o.reactor.behind ? pill("bad", "results are stale") : o.reactor.waiting ? `${o.reactor.waiting} results wait, the oldest for ${millis(o.reactor.oldest_dirty_ms)}` : "nothing waits"),
      h("dt", null, "tables"), h("dd", null, l.tables.length ? l.tables.join(", ") : "none is captured yet"),
      l.uncaptured && [h("dt", null, "not captured"), h("dd", null, l.uncaptured.map((u) => h("div", null, pill("bad", u))))],
      h("dt", null, "so far"), h("dd", { class: "soft" }, `${number(l.reads)} reads; everything ran again ${l.resyncs} ×; ${l.reconnects} ${l.reconnects === 1 ? "connection" : "connections"}`)),
    h("p", { class: "soft below" }, "age of the last read, in the last minutes"),
    chart(state.history.age ?? [], Math.min(ROOM, Math.max(30, state.history.age?.length ?? 0)), "age of the last read"),
  ]
}

const openGroup = (g) => (location.hash = `#why/${g.tenant}/${g.group}`)

function runTable(list) {
  return rows([
    ["when", (r) => h("span", { class: "soft" }, ago(r.ago_ms))],
    ["function", (r) => [r.function, several() && h("span", { class: "soft" }, " " + r.tenant)]],
    ["why", (r) => r.cause],
    ["waited", (r) => millis(r.waited_ms), "n"],
    ["ran", (r) => millis(r.cost_ms), "n"],
    ["watchers", (r) => r.watchers, "n"],
    ["outcome", (r) => [pill(r.outcome, r.outcome === "frame" ? "new result" : r.outcome === "same" ? "same result" : r.outcome), r.outcome === "failed" && h("div", { class: "soft" }, r.text)]],
  ], list, { empty: "Nothing has run yet.", open: openGroup })
}

export async function runs() {
  return [
    h("h1", null, "Runs"),
    h("p", { class: "lead" }, "Why functions and policies ran, the newest first. A run of one result serves everybody who watches it."),
    h("section", { class: "card" }, runTable(await ask("/api/runs?limit=60"))),
  ]
}

const order = { by: "watchers", tenant: "" }

export async function groups(_, again) {
  const list = await ask(`/api/groups?by=${order.by}&tenant=${encodeURIComponent(order.tenant)}&limit=100`)
  const tab = (by, text) => h("button", { "aria-pressed": String(order.by === by), click: () => { order.by = by; again() } }, text)
  return [
    h("h1", null, "Live results"),
    h("p", { class: "lead" }, "What is kept fresh now. Callers who may see the same share one result; policies are results too. Choose one to see why it did or did not change."),
    h("section", { class: "card" },
      h("div", { class: "row spread" },
        h("div", { class: "tabs" }, tab("watchers", "Watchers"), tab("cost", "Cost"), tab("failures", "Failures")),
        several() && h("select", { "aria-label": "tenant", change: (e) => { order.tenant = e.target.value; again() }, class: "fit" },
          h("option", { value: "" }, "all tenants"), state.overview.tenants.map((t) => h("option", { value: t.name, selected: t.name === order.tenant }, t.name)))),
      h("br"),
      rows([
        ["result", (g) => [h("div", null, g.function, several() && h("span", { class: "soft" }, " " + g.tenant)),
          g.policy ? h("span", { class: "soft" }, "decision about one caller") : h("code", { class: "soft" }, g.args, g.hidden ? ` + ${g.hidden} of the caller` : "")]],
        ["state", (g) => [pill(g.state), g.policy && [" ", pill(g.answer)], g.error && h("div", { class: "soft" }, g.error)]],
        ["watchers", (g) => number(g.watchers), "n"],
        ["runs", (g) => number(g.runs), "n"],
        ["each", (g) => (g.runs ? millis(g.cost_ms) : ""), "n"],
        ["total", (g) => millis(g.spent_ms), "n"],
        ["size", (g) => (g.policy ? "" : bytes(g.bytes)), "n"],
        ["ran", (g) => h("span", { class: "soft" }, g.ran_ago_ms ? ago(g.ran_ago_ms) : "not yet"), "n"],
      ], list, { empty: "Nobody watches anything.", open: openGroup })),
  ]
}

export async function why([tenant, group]) {
  const w = await ask(`/api/groups/${encodeURIComponent(group)}?tenant=${encodeURIComponent(tenant)}`)
  return [
    h("p", { class: "lead" }, h("a", { href: "#groups" }, "Live results"), " / ", w.function),
    h("div", { class: "row" }, h("h1", null, w.function), pill(w.state)),
    h("br"),
    whyCards(w),
  ]
}

/** whyCards shows an answer of /why. */
export function whyCards(w) {
  return h("div", { class: "grid" },
    h("section", { class: "card c8" }, h("h2", null, "Why"), h("ul", { class: "story" }, w.story.map((s) => h("li", null, s))), h("p", { class: "soft below" }, w.capture.text)),
    h("section", { class: "card c4" }, h("h2", null, "Now"), h("dl", null,
      h("dt", null, "watchers"), h("dd", null, w.watchers),
      w.version && [h("dt", null, "version"), h("dd", null, h("code", null, w.version), `, ${bytes(w.bytes ?? 0)}`)],
      w.snapshot && [h("dt", null, "as of"), h("dd", null, h("code", null, w.snapshot))],
      h("dt", null, "runs"), h("dd", null, `${w.runs ?? 0}, ${millis(w.spent_ms ?? 0)} in all`),
      w.streams && [h("dt", null, "streams"), h("dd", null, w.streams.behind ? `${w.streams.streams}, ${w.streams.behind} without the newest` : `${w.streams.streams}, all have it`)],
      (w.policies ?? []).map((p) => [h("dt", null, p.name), h("dd", null, pill(p.answer), p.text ? " " + p.text : "")]))),
    h("section", { class: "card c12" }, h("h2", null, "What it reads"), rows([
      ["", (r) => h("code", null, r.text)],
      ["of", (r) => h("span", { class: "soft" }, r.policy || "the function")],
    ], w.reads, { empty: "No table." })),
    h("section", { class: "card c12" }, h("h2", null, "Recent changes of these tables, and their fate"), rows([
      ["when", (c) => h("span", { class: "soft" }, ago(c.ago_ms))],
      ["change", (c) => `${c.op} ${c.table}`],
      ["transaction", (c) => h("code", { class: "soft" }, c.tx)],
      ["fate", (c) => [pill(c.fate)]],
      ["", (c) => c.text],
    ], w.changes, { empty: "No change of them has reached the log since this is watched." })),
    h("section", { class: "card c12" }, h("h2", null, "Its runs"), rows([
      ["when", (r) => h("span", { class: "soft" }, ago(r.ago_ms))],
      ["why", (r) => r.cause],
      ["waited", (r) => millis(r.waited_ms), "n"],
      ["ran", (r) => millis(r.cost_ms), "n"],
      ["outcome", (r) => r.text],
    ], w.past, { empty: "None that is remembered." })))
}

const explained = new Map() // tenant/function → text, or null while it is fetched

export async function functions(_, again) {
  const list = await ask("/api/functions")
  const plugins = Map.groupBy(list, (f) => `${f.tenant}/${f.plugin}`)
  const access = (f) => {
    const a = f.schema.access
    return f.kind === "policy" ? "" : typeof a === "string" ? a.replace("_", " ") : a.policies.join(", ")
  }
  const reads = (f) => explained.get(f.tenant + "/" + f.name)
  const toggle = async (f) => {
    const key = f.tenant + "/" + f.name
    if (explained.has(key)) explained.delete(key)
    else explained.set(key, (await ask(`/api/explain/${encodeURIComponent(f.name)}?tenant=${encodeURIComponent(f.tenant)}`).catch((e) => ({ text: e.message }))).text)
    again()
  }
  return [
    h("h1", null, "Functions"),
    h("p", { class: "lead" }, "What the plugins offer, who may call it, and what it has cost since the start."),
    list.length === 0 && h("p", { class: "empty" }, "No plugin serves."),
    [...plugins.values()].map((fs) => h("div", { class: "grid" }, h("section", { class: "card c12" },
      h("div", { class: "row" }, h("h2", null, fs[0].plugin), h("code", { class: "soft" }, fs[0].version), several() && h("span", { class: "soft" }, fs[0].tenant)),
      h("br"),
      h("div", { class: "even" }, rows([
        ["function", (f) => [h("div", null, f.name), f.schema.doc && h("div", { class: "soft" }, f.schema.doc), reads(f) && h("pre", { class: "text" }, reads(f))]],
        ["kind", (f) => h("span", { class: "soft" }, f.kind)],
        ["access", (f) => access(f)],
        ["shared by", (f) => h("span", { class: "soft" }, f.kind === "mutation" ? "" : f.key.length ? f.key.join(", ") : "everybody")],
        ["runs", (f) => (f.kind === "mutation" ? "" : number(f.runs)), "n"],
        ["each", (f) => (f.runs ? millis(f.spent_ms / f.runs) : ""), "n"],
        ["failed", (f) => (f.failed ? h("span", { title: f.error }, pill("failed", number(f.failed))) : ""), "n"],
        ["", (f) => h("div", { class: "row" }, f.kind !== "policy" && h("a", { href: `#playground/${f.tenant}/${f.name}` }, "try"),
          f.plugin !== "weir" && h("a", { href: "#functions", click: (e) => { e.preventDefault(); toggle(f) } }, reads(f) ? "close" : "reads"))],
      ], fs))))),
  ]
}

const opened = new Set() // tenants whose limits are shown

export async function tenants() {
  const o = state.overview
  return [
    h("h1", null, "Tenants"),
    h("p", { class: "lead" }, "Their plugins, what they use, and which limits they have reached."),
    o.tenants.map((t) => {
      const reached = Object.entries(t.reached ?? {}).sort((a, b) => b[1] - a[1])
      return h("section", { class: "card" },
        h("div", { class: "row" }, h("h2", null, t.name), h("span", { class: "soft" }, [t.trust, t.schema && `schema ${t.schema}`, `weight ${t.weight}`].filter(Boolean).join(", "))),
        h("br"),
        h("div", { class: "grid" },
          [["Results", t.groups], ["Subscriptions", t.subscriptions], ["Runs", number(t.executions)], ["Time in runs", millis(t.spent_ms)]].map(([name, value]) =>
            h("div", { class: "figure c3" }, h("span", { class: "name" }, name), h("span", { class: "value" }, value)))),
        t.errors.map((e) => h("div", { class: "notice bad" }, h("b", null, e.file), ": ", e.error)),
        rows([
          ["plugin", (p) => p.name],
          ["version", (p) => h("code", { class: "soft" }, p.version)],
          ["file", (p) => h("span", { class: "soft" }, p.file)],
          ["functions", (p) => p.functions, "n"],
          ["instances", (p) => p.instances, "n"],
          ["guest calls", (p) => number(p.calls), "n"],
          ["faults", (p) => number(p.dropped), "n"],
          ["state", (p) => (p.stopped ? pill("stopped") : pill("good", "serves"))],
        ], t.plugins, { empty: "No plugin serves." }),
        h("p", null, reached.length ? ["Limits reached: ", reached.map(([k, n]) => [pill("warn", `${k} ${number(n)} ×`), " "])] : h("span", { class: "soft" }, "No limit was reached.")),
        h("details", { open: opened.has(t.name), toggle: (e) => (e.target.open ? opened.add(t.name) : opened.delete(t.name)) },
          h("summary", null, "Limits"),
          h("div", { class: "limits" }, t.limits.map((l) => h("div", null, h("span", { class: "soft" }, l.name), h("code", null, l.value))))))
    }),
  ]
}
