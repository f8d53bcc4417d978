// The chat's page. All it knows of the server is weir.js: two live queries, one
// mutation. Nothing here fetches again after a change; what is shown follows the
// database.
import { createClient } from "/weir.js"

const $ = (id) => document.getElementById(id)

// Under `weir dev` anybody on this machine may be anybody. A real page would give
// createClient a function that returns the signed-in user's token.
const here = new URL(location.href)
const me = here.searchParams.get("as") || "ann"
const weir = createClient({ token: "dev:" + me })

let room // the id of the room that is open
let open // its subscription
let rooms = []
const names = new Map() // of the rooms that we have been in
let shown // ids of the messages that were on screen

for (const name of new Set(["ann", "bob", "cid", me])) {
  const link = element("a", { href: at(name, ""), textContent: name })
  if (name === me) link.setAttribute("aria-current", "true")
  $("users").append(link)
}

const list = weir.subscribe("rooms.list", {}, ({ data, status, error }) => {
  rooms = data ?? rooms
  for (const r of rooms) names.set(r.id, r.name)
  drawRooms(status, error)
  if (!room && data) enter(wanted() ?? data[0]?.id)
  drawStatus()
})

addEventListener("hashchange", () => enter(wanted()))
if (wanted()) enter(wanted())

function wanted() {
  return Number(location.hash.slice(1)) || undefined
}

function at(name, hash) {
  const url = new URL(here)
  url.searchParams.set("as", name)
  url.hash = hash
  return url.href
}

/** Opens a room: its messages stay live until another is opened. */
function enter(id) {
  open?.close()
  open = undefined
  room = id
  shown = undefined
  drawRooms()
  if (!id) return drawMessages({ status: "none" })
  open = weir.subscribe("messages.list", { room: id }, drawMessages)
}

function drawRooms(status = list.current.status, error = list.current.error) {
  const open = rooms.find((r) => r.id === room)
  const focus = document.activeElement?.closest?.("nav a")?.hash
  $("rooms").replaceChildren(...rooms.map((r) => {
    const link = element("a", { href: "#" + r.id }, element("b", { textContent: r.name }), element("small", { textContent: r.messages, title: r.messages + " messages" }))
    if (r.id === room) link.setAttribute("aria-current", "page")
    return link
  }))
  if (focus) $("rooms").querySelector(`[href="${focus}"]`)?.focus()
  if (!rooms.length && status === "live") $("rooms").append(element("p", { textContent: "You are in no room yet. When somebody lets you in, it appears here." }))
  if (!rooms.length && status === "error") $("rooms").append(element("p", { textContent: error.message }))
  const name = open?.name ?? names.get(room)
  $("title").textContent = name ? "# " + name : "\u00a0"
  $("members").replaceChildren(...(open?.members ?? []).map((m) => face(m.user)))
  document.title = name ? name + " · weir chat" : "weir chat"
}

/** Draws what the subscription shows now. Access is live too: who is taken out of
 * the room is told so, and the messages come back with the access. */
function drawMessages({ data, status, error }) {
  const box = $("messages")
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80
  const writable = status === "live" || status === "stale"
  $("body").disabled = !writable
  $("body").placeholder = status === "denied" ? "Only members write here" : "Write a message"
  document.body.classList.toggle("shut", status === "denied")
  box.classList.toggle("behind", status === "stale")
  if (status === "none") box.replaceChildren(empty("No room is open", "Choose one on the left."))
  else if (status === "denied") box.replaceChildren(shut())
  else if (!data) box.replaceChildren(status === "error" ? empty("This did not work", error.message) : empty("", "Opening the room …"))
  else if (!data.length) box.replaceChildren(empty("Nothing was said yet", "Be the first to write."))
  else {
    // The query gives the newest first; they are read from top to bottom. A row
    // that did not change is the same object, and keeps its element.
    let before
    place(box, [...data].reverse().map((m) => {
      const first = before?.author !== m.author || new Date(m.sent_at) - new Date(before.sent_at) > 5 * 60_000
      before = m
      const drawn = elements.get(m)
      if (drawn?.first === first) return drawn.item
      const item = message(m, first, shown && !shown.has(m.id))
      elements.set(m, { item, first })
      return item
    }))
    if (atEnd || !shown) box.scrollTop = box.scrollHeight
  }
  if (status === "denied") shown = undefined
  if (data) shown = new Set(data.map((m) => m.id))
  drawStatus()
  sendable()
}

const elements = new WeakMap() // row → its element, and how it was drawn

/** Makes the items the children of a box, moving none that is in its place. */
function place(box, items) {
  const wanted = new Set(items)
  for (const old of [...box.children]) if (!wanted.has(old)) old.remove()
  items.forEach((item, i) => box.children[i] !== item && box.insertBefore(item, box.children[i] ?? null))
}

function message({ id, author, body, sent_at }, first, isNew) {
  const time = new Date(sent_at)
  const by = element("p", { className: "by" }, author === me ? "" : author,
    element("time", { dateTime: sent_at, title: time.toLocaleString(), textContent: time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) }))
  const item = element("article", { className: [first && "first", isNew && "new", author === me && "mine"].filter(Boolean).join(" ") },
    face(author), by, element("div", { className: "text", textContent: body }))
  item.dataset.id = id
  return item
}

function face(name) {
  const hue = [...name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 40)
  const span = element("span", { className: "face", title: name, textContent: name.slice(0, 2) })
  span.style.setProperty("--hue", hue)
  return span
}

/** The dot tells the worse of the two subscriptions; denied is an answer too. */
function drawStatus() {
  const all = [list.current.status, open?.current.status ?? "live"]
  const status = ["error", "stale", "connecting"].find((s) => all.includes(s)) ?? "live"
  const error = list.current.error ?? open?.current.error
  $("status").dataset.status = status
  $("status").title = status === "live" || !error ? "" : error.message
  $("status").lastElementChild.textContent = status
}

/** What stands in place of the messages while the policy says no. */
function shut() {
  const box = names.has(room)
    ? empty("You are no longer in this room", "Somebody took you out of it. Its messages come back by themselves when you are let in again.")
    : empty("This room is not yours to read", "Only its members see what is said here. Ask one of them to let you in.")
  box.classList.add("lock")
  return box
}

function empty(title, text) {
  return element("div", { className: "empty" }, element("b", { textContent: title }), text)
}

function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties)
  e.append(...children)
  return e
}

// Writing: Enter sends, Shift+Enter is a new line.
const body = $("body")
const sendable = () => ($("post").querySelector("button").disabled = body.disabled || !body.value.trim())
body.addEventListener("input", sendable)
body.addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return
  e.preventDefault()
  $("post").requestSubmit()
})
$("post").addEventListener("submit", async (e) => {
  e.preventDefault()
  const text = body.value
  if (!text.trim()) return
  body.value = ""
  sendable()
  try {
    await weir.call("messages.post", { room, body: text })
    $("messages").scrollTop = $("messages").scrollHeight
  } catch (error) {
    if (!body.value.trim()) body.value = text // nothing is lost
    sendable()
    toast(error.message)
  }
})
// Typing anywhere writes.
addEventListener("keydown", (e) => {
  if (e.key.length === 1 && !e.ctrlKey && !e.metaKey && !e.altKey && e.target === document.body) body.focus()
})

let hiding
function toast(text) {
  $("toast").textContent = text
  $("toast").hidden = false
  clearTimeout(hiding)
  hiding = setTimeout(() => ($("toast").hidden = true), 5000)
}
