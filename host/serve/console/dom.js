// Small things that all parts of the page use. Text from the server becomes text
// nodes and nothing else.

/** h makes an element: h("td", {class: "n"}, child, …). A function is a listener. */
export function h(tag, props, ...children) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue
    if (typeof value === "function") e.addEventListener(name, value)
    else if (name in e && name !== "list" && name !== "form") name === "class" ? e.setAttribute("class", value) : (e[name] = value)
    else e.setAttribute(name, value === true ? "" : value)
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false))
  return e
}

/** ask asks the admin listener. What is refused is thrown, in the server's words. */
export async function ask(path, options) {
  const r = await fetch(path, { cache: "no-store", ...options })
  const body = await r.json().catch(() => null)
  if (!r.ok) throw new Error(body?.message ?? `the server answered ${r.status}`)
  return body
}

export function number(n) {
  if (n >= 1e6) return (n / 1e6).toFixed(n >= 1e7 ? 0 : 1) + " M"
  if (n >= 1e4) return (n / 1e3).toFixed(0) + " k"
  return Number.isInteger(n) ? String(n) : n.toFixed(n < 10 ? 1 : 0)
}

export function bytes(n) {
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${unit === "B" || n >= 100 ? Math.round(n) : n.toFixed(1)} ${unit}`
    n /= 1000
  }
}

export function millis(ms) {
  if (ms < 0.1) return "<0.1 ms"
  if (ms < 10) return ms.toFixed(1) + " ms"
  if (ms < 1000) return Math.round(ms) + " ms"
  if (ms < 60e3) return (ms / 1000).toFixed(1) + " s"
  if (ms < 7200e3) return Math.round(ms / 60e3) + " min"
  return Math.round(ms / 3600e3) + " h"
}

export const ago = (ms) => (ms < 1000 ? "just now" : millis(ms) + " ago").replace(".0 s", " s")

const tones = {
  live: "live", good: "good", allow: "good", frame: "live", same: "", shown: "live", no_match: "", running: "warn", queued: "warn", pending: "warn", new: "warn",
  stale: "warn", held: "warn", fenced: "warn", undecided: "warn", unknown: "warn", failing: "bad", failed: "bad", error: "bad", denied: "bad", deny: "bad", stopped: "bad",
}
export const pill = (word, text) => h("span", { class: "pill " + (tones[word] ?? "") }, text ?? word.replace("_", " "))

const SVG = "http://www.w3.org/2000/svg"
function svg(tag, attributes) {
  const e = document.createElementNS(SVG, tag)
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v)
  return e
}

/** chart draws the newest values as a line, the newest at the right. */
export function chart(values, room, label) {
  const top = Math.max(...values, 1e-9), W = 300, H = 46
  const x = (i) => W - ((values.length - 1 - i) * W) / (room - 1), y = (v) => H - 2 - (v / top) * (H - 6)
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`)
  const e = svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label })
  e.append(svg("line", { class: "base", x1: 0, x2: W, y1: H - 1, y2: H - 1 }))
  if (points.length > 1) {
    e.append(svg("polygon", { class: "area", points: `${x(0).toFixed(1)},${H - 1} ${points.join(" ")} ${W},${H - 1}` }))
    e.append(svg("polyline", { class: "line", points: points.join(" ") }))
  }
  return e
}

/** rows makes a table. A column is [head, cell, class]. */
export function rows(columns, list, { empty, open } = {}) {
  if (list.length === 0) return h("p", { class: "empty" }, empty ?? "Nothing here.")
  return h("div", { class: "scroll" }, h("table", null,
    h("thead", null, h("tr", null, columns.map(([head, , cls]) => h("th", { class: cls }, head)))),
    h("tbody", null, list.map((item) => h("tr", open && { class: "link", tabIndex: 0, click: () => open(item), keydown: (e) => e.key === "Enter" && open(item) },
      columns.map(([, cell, cls]) => h("td", { class: cls }, cell(item))))))))
}
