// The console: a page of the admin listener, without a build step and without
// anything from elsewhere. #view/part/part names what is shown.
import { h, pill } from "./dom.js"
import { leave, playground } from "./playground.js"
import { onTick, run, state } from "./state.js"
import { functions, groups, overview, runs, tenants, why } from "./views.js"

const views = { overview, groups, functions, playground, runs, tenants, why }
const still = new Set(["playground"]) // it is drawn once, and changes by itself
const view = document.querySelector("#view")
let shown = null, drawing = false, missed = false

function place() {
  const [name, ...parts] = location.hash.slice(1).split("/").map(decodeURIComponent)
  return views[name] ? { name, parts } : { name: "overview", parts: [] }
}

async function draw(force) {
  const at = location.hash
  const { name, parts } = place()
  if (!state.overview) return
  const moved = shown !== at
  if (!moved && !force && (still.has(name) || busy())) return
  if (drawing) return void (missed = true)
  drawing = true
  if (moved) leave()
  let content
  try {
    content = await views[name](parts, () => draw(true))
  } catch (e) {
    content = [h("h1", null, name === "why" ? "Why" : "This cannot be shown now"), h("p", { class: "lead" }, e.message)]
  }
  drawing = false
  if (at === location.hash) {
    view.replaceChildren(...[content].flat(Infinity).filter(Boolean))
    shown = at
    const tab = name === "why" ? "groups" : name
    for (const a of document.querySelectorAll("#nav a")) a.getAttribute("href") === "#" + tab ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current")
    document.title = `${name} · weir console`
    if (moved) {
      scrollTo(0, 0)
      document.querySelector("#nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" })
    }
  } else missed = true
  if (missed) {
    missed = false
    draw()
  }
}

/** busy: somebody reads or is about to use what a new drawing would take away. */
function busy() {
  const e = document.activeElement
  return (e && e !== document.body && e !== view && view.contains(e) && e.tagName !== "BUTTON" && e.tagName !== "SUMMARY") || String(getSelection()) !== ""
}

onTick(() => {
  const health = document.querySelector("#health")
  if (state.error) {
    health.replaceWith(Object.assign(pill("bad", "no answer"), { id: "health", title: state.error.message }))
  } else {
    const failing = state.overview.conditions.filter((c) => !c.ok)
    const draining = state.overview.streams.draining
    const next = failing.length ? pill("bad", failing.map((c) => c.name).join(", ")) : draining ? pill("stale", "draining") : pill("good", "ready")
    health.replaceWith(Object.assign(next, { id: "health", title: failing.map((c) => c.message).join("\n") || "all conditions of /readyz hold" }))
    document.querySelector("#foot").textContent = `weir ${state.overview.version}`
  }
  draw()
})
addEventListener("hashchange", () => draw())
run()
