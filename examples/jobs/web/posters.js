// The poster shop's page. It subscribes to one query of the plugin, the list of
// posters, and for each poster to two of weir itself: how far its job is, and
// where its run stands. Nothing here asks again after a change.
import { createClient } from "/weir.js"

const $ = (id) => document.getElementById(id)

// Under `weir dev` anybody on this machine may be anybody. A real page would give
// createClient a function that returns the signed-in user's token.
const here = new URL(location.href)
const me = here.searchParams.get("as") || "ann"
const weir = createClient({ token: "dev:" + me })

for (const name of new Set(["ann", "bob", me])) {
  const url = new URL(here)
  url.searchParams.set("as", name)
  const link = element("a", { href: url.href, textContent: name })
  if (name === me) link.setAttribute("aria-current", "true")
  $("users").append(link)
}

const cards = new Map() // poster id → Card

const list = weir.subscribe("posters.mine", {}, ({ data, status, error }) => {
  const box = $("posters")
  box.classList.toggle("behind", status === "stale")
  drawStatus()
  if (!data) return box.replaceChildren(status === "error" ? empty("This did not work", error.message) : "")
  const first = !cards.size && !box.children.length
  for (const [id, card] of cards) if (!data.some((p) => p.id === id)) card.close()
  const items = data.map((poster) => {
    let card = cards.get(poster.id)
    if (!card) cards.set(poster.id, (card = new Card(poster, !first)))
    card.poster = poster
    card.follow()
    return card.item
  })
  place(box, items.length ? items : [empty("No posters yet", "Order one above. A worker paints it while you watch.")])
})

/** One poster. It draws what its job and its run say, whenever they say it. Its
 * elements stay, so that bars glide and a button that has the focus keeps it. */
class Card {
  job = {}
  run = {}
  open = {} // subscriptions by name
  bar = element("div", { className: "bar", role: "progressbar" }, element("i"))
  steps = element("ol")
  says = element("span")
  figure = element("b")
  trouble = element("p", { className: "trouble" })
  actions = element("div", { className: "actions" })

  constructor(poster, isNew) {
    this.poster = poster
    this.title = element("h2", { textContent: poster.title })
    this.frame = element("div", { className: "frame" }, element("div", { className: "wash" }), element("div", { className: "edge" }), this.title, cross(() => act("posters.discard", { id: poster.id })))
    this.item = element("article", { className: poster.style + (isNew ? " new" : "") }, this.frame,
      element("div", { className: "work" }, this.bar, this.steps, element("div", { className: "line" }, this.says, this.figure), this.trouble, this.actions))
    this.item.dataset.id = poster.id
    this.bar.ariaLabel = poster.title
    this.draw()
  }

  /** Subscribes to what there is to follow. */
  follow() {
    const { id, job, run } = this.poster
    this.open.job ??= weir.subscribe("weir.job", { job_id: job }, (state) => { this.job = state; this.draw() })
    if (run) this.open.run ??= weir.subscribe("weir.workflow", { workflow_id: run }, (state) => { this.run = state; this.draw() })
    this.open.picture ??= weir.subscribe("posters.picture", { id }, ({ data }) => {
      if (!data?.length || this.image) return
      this.image = element("img", { alt: "", src: "data:image/jpeg;base64," + data[0].picture })
      this.frame.insertBefore(this.image, this.title)
    })
  }

  close() {
    for (const subscription of Object.values(this.open)) subscription.close()
    cards.delete(this.poster.id)
  }

  draw() {
    const run = this.run.data?.[0]
    const job = this.job.data?.[0]
    // A job is kept for some days after its end; the picture stays.
    const status = job?.status ?? (this.job.status === "denied" ? "done" : "queued")
    const done = status === "done" ? 100 : (job?.progress ?? 0)
    this.item.dataset.status = status
    this.item.style.setProperty("--done", done)
    this.bar.ariaValueNow = String(Math.round(done))
    this.bar.hidden = Boolean(run)
    this.steps.hidden = !run
    const shown = run ? this.drawRun(run) : this.drawJob(job, status, done)
    this.says.textContent = shown.says
    this.figure.textContent = shown.figure ?? ""
    this.trouble.textContent = shown.trouble ?? ""
    this.trouble.hidden = !shown.trouble
    this.offer(...(shown.offers ?? []))
    drawStatus()
  }

  /** How far the job is. */
  drawJob(job, status, done) {
    const { id, job: job_id, run } = this.poster
    const cancel = ["Cancel", "posters.cancel", { job: job_id }]
    const size = job?.output && `${job.output.width} × ${job.output.height}, ${Math.round(job.output.bytes / 1024)} KB`
    return {
      queued: { says: job?.error ? "will be tried again" : job ? "waiting for a worker" : "…", trouble: job?.error, offers: job ? [cancel] : [] },
      running: { says: job?.message ?? "a worker has it", figure: Math.round(done) + " %", trouble: job?.error, offers: [cancel] },
      done: { says: size ?? "painted", figure: "100 %", offers: job && !run ? [["Publish", "posters.publish", { id }]] : [] },
      failed: { says: "it did not work", trouble: job?.error },
      cancelled: { says: "cancelled" },
    }[status]
  }

  /** Where the run stands. */
  drawRun(run) {
    while (this.steps.children.length > run.steps.length) this.steps.lastChild.remove()
    run.steps.forEach((step, i) => {
      const item = this.steps.children[i] ?? this.steps.appendChild(element("li"))
      item.textContent = step.name
      item.title = step.error ?? step.status
      item.dataset.status = step.status
    })
    const id = this.poster.id
    return {
      running: { says: run.step ? run.step + " …" : "waiting for a worker" },
      waiting: { says: "waits for " + run.waiting_for, offers: [["Approve", "posters.answer", { id, yes: true }], ["Decline", "posters.answer", { id, yes: false }]] },
      done: { says: "published", figure: run.output && run.output.copies + " copies" },
      failed: { says: "it did not work", trouble: run.error },
      cancelled: { says: "not published" },
    }[run.status]
  }

  /** Shows buttons that call a mutation each, unless they are shown already. */
  offer(...list) {
    const names = list.map(([label]) => label).join()
    if (this.offered === names) return
    this.offered = names
    this.actions.replaceChildren(...list.map(([label, name, args]) => {
      const button = element("button", { textContent: label, className: label === "Approve" || label === "Publish" ? "main" : "" })
      button.addEventListener("click", () => act(name, args, button))
      return button
    }))
    this.actions.hidden = !list.length
  }
}

/** The button that takes a poster away. */
function cross(remove) {
  const button = element("button", { className: "away", ariaLabel: "Remove" })
  button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="m4 4 8 8m0-8-8 8"/></svg>`
  button.addEventListener("click", remove)
  return button
}

/** Calls a mutation. What it changes is seen because it is live. */
async function act(name, args, button) {
  if (button) button.disabled = true
  try {
    return await weir.call(name, args)
  } catch (error) {
    toast(error.message)
  } finally {
    if (button) button.disabled = false
  }
}

/** The dot tells the worst of all subscriptions; denied is an answer too. */
function drawStatus() {
  const all = [list, ...[...cards.values()].flatMap((c) => Object.values(c.open))].map((s) => s.current)
  const status = ["error", "stale", "connecting"].find((s) => all.some((c) => c.status === s)) ?? "live"
  $("status").dataset.status = status
  $("status").title = all.find((c) => c.error && c.status === status)?.error.message ?? ""
  $("status").lastElementChild.textContent = status
}

/** Makes the items the children of a box, moving none that is in its place. */
function place(box, items) {
  const wanted = new Set(items)
  for (const old of [...box.children]) if (!wanted.has(old)) old.remove()
  items.forEach((item, i) => box.children[i] !== item && box.insertBefore(item, box.children[i] ?? null))
}

function empty(title, text) {
  return element("div", { className: "empty" }, element("b", { textContent: title }), text)
}

function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties)
  e.append(...children)
  return e
}

// Ordering.
const title = $("title")
const orderable = () => ($("order").querySelector("button").disabled = !title.value.trim())
title.addEventListener("input", orderable)
$("order").addEventListener("submit", async (e) => {
  e.preventDefault()
  const text = title.value
  title.value = ""
  orderable()
  const done = await act("posters.order", { title: text, style: new FormData(e.target).get("style") })
  if (!done && !title.value) title.value = text // nothing is lost
  orderable()
})

let hiding
function toast(text) {
  $("toast").textContent = text
  $("toast").hidden = false
  clearTimeout(hiding)
  hiding = setTimeout(() => ($("toast").hidden = true), 5000)
}
