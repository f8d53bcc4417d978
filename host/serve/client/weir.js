/**
 * weir.js: live queries in a page, or in Node 18 and newer.
 *
 *     const weir = createClient({ token: () => auth.token() })
 *     const sub = weir.subscribe("messages.list", { room: 7 }, ({ data, status }) => draw(data, status))
 *
 * All subscriptions of a client share one stream. When it breaks, the client
 * comes back by itself and says what it holds, so that only what changed is sent.
 */

const FIRST_DELAY = 500, LAST_DELAY = 30_000 // of the back-off, in ms
const HEALTHY = 30_000 // a stream that lived this long ends the back-off
const OPENING = 20_000 // how long the server may take to begin a stream
const LINGER = 5_000 // how long a subscription outlives its last user
const RENEWAL = 5_000 // the least time between two renewals
const LONG_URL = 1_500 // arguments longer than this go into a body
const SYNC = 12_000 // how long a call waits for the stream to show what it wrote
const CALL_TRIES = 2 // how often a call whose answer was lost is asked for again
const HOLD = 250 // how long a result waits for the call that an optimistic update is of
const PROBE = 15_000 // how long a tab hears nothing before it asks the leading one
const REPLY = 5_000 // how long the leading tab may take to answer
const CONNECTING = Object.freeze({ data: undefined, status: "connecting", error: undefined })
const CALM = ["drain", "shutdown", "expired"] // ends that are no failures

/** What went wrong. `code` is for programs, `message` for people. */
export class WeirError extends Error {
  constructor(code, message, more) {
    super(message)
    Object.assign(this, { name: "WeirError", code, retryable: false }, more)
  }
}

/** Makes a client. See weir.d.ts for all that it takes and gives. */
export function createClient({ url = "", token: source, credentials, fetch: send = globalThis.fetch, shareTabs } = {}) {
  if (!url && !globalThis.location) throw new TypeError("createClient needs a url outside a page")
  const base = String(url).replace(/\/+$/, "")

  const byKey = new Map() // name and arguments → subscription
  const byId = new Map()
  let ids = 0
  let stream // the newest, from its request to its end
  let timer // of the next stream
  let failures = 0 // in a row
  let at = "" // the newest state that was shown
  let apart = false // a stream was refused together with its subscriptions
  let scheduled = false
  let closed = false
  let frozen = false // by the browser, as a tab that nobody looks at
  let earliest = 0 // when the server wants the next stream at the earliest
  let room // of tabs that share a stream; undefined for a stream of one's own
  let entered = 0 // when it was asked for a token to join them; the first stream uses it
  let sharing = globalThis.navigator?.locks && globalThis.BroadcastChannel && (shareTabs ?? scarce(base))
  const life = new AbortController()

  // ── Requests ────────────────────────────────────────────────────────────

  let token // what the last ask gave; undefined before the first
  let who // whose it is, if that can be told
  let asking
  const ask = () => (asking ??= (async () => {
    try {
      token = (await (typeof source === "function" ? source() : source)) ?? null
    } catch (cause) {
      throw new WeirError("token", "there is no token: " + (cause?.message ?? cause), { retryable: true, cause })
    } finally {
      asking = undefined
    }
    const was = who
    who = principal(token)
    if (room && room.badge !== badge(token)) leave()
    if (was !== undefined && was !== who) forget()
  })())

  /** Somebody else is here now: nothing of before is theirs. */
  function forget() {
    at = ""
    layers = []
    overlay.clear()
    if (stream?.asked) rest()
    for (const sub of byId.values()) {
      clear(sub)
      sub.sent = undefined
      set(sub, "connecting")
    }
    schedule()
  }

  async function once(path, { method = "POST", body, signal, accept = "application/json", extra }) {
    const headers = { Accept: accept, ...extra }
    if (token) headers.Authorization = "Bearer " + token
    if (body !== undefined) headers["Content-Type"] = "application/json"
    let res
    try {
      res = await send(base + "/v1/" + path, { method, headers, body, signal, credentials })
    } catch (cause) {
      if (signal?.aborted) throw cause
      throw new WeirError("network", "the server cannot be reached", { retryable: true, cause })
    }
    if (!res.ok) throw await problem(res)
    return res
  }

  /** Sends a request; a token that is refused is asked for again, once. */
  async function request(path, options) {
    if (token === undefined) await ask()
    const used = token
    try {
      return await once(path, options)
    } catch (e) {
      if (e.status !== 401) throw e
      if (token === used) await ask()
      if (token === used) throw e
      return once(path, options)
    }
  }

  async function answer(path, options) {
    if (closed) throw new WeirError("closed", "the client is closed")
    const res = await request(path, options)
    try {
      return await res.json()
    } catch (cause) {
      if (options.signal?.aborted) throw cause
      throw new WeirError("network", "the answer broke off", { retryable: true, cause })
    }
  }

  async function get(name, args, { signal } = {}) {
    const path = "q/" + encodeURIComponent(name)
    const body = encode(args)
    const query = path + (body === "{}" ? "" : "?args=" + encodeURIComponent(body))
    const result = await answer(...(query.length > LONG_URL ? [path, { body, signal }] : [query, { method: "GET", signal }]))
    return content(result)
  }

  /** A mutation. It is over when what it wrote is on the screen: when the stream
   * has said so, or cannot any more. An answer that was lost is asked for again,
   * with the same key: it runs once. */
  async function call(name, args, { signal, optimistic } = {}) {
    const drop = optimistic && !closed ? lay(optimistic) : () => {}
    const s = room && !room.leading ? room : stream
    const extra = { "Idempotency-Key": newKey() }
    if (s?.sid) extra["Weir-Session"] = s.sid
    try {
      for (let tries = 0; ; tries++) {
        try {
          const { result, tx } = await answer("call/" + encodeURIComponent(name), { body: encode(args), signal, extra })
          if (tx && s?.sid && !signal?.aborted) await synced(s, extra["Weir-Session"], tx, signal)
          return result
        } catch (e) {
          if (e.code !== "network" || tries === CALL_TRIES || closed) throw e
          await new Promise((resolve) => setTimeout(resolve, backOff(tries)))
          if (signal?.aborted) throw e
        }
      }
    } finally {
      drop()
    }
  }

  /** Waits until the stream shows a transaction, or has ended, or for SYNC ms. */
  function synced(s, sid, tx, signal) {
    if (s.sid !== sid || s.synced.delete(tx)) return
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(late)
        signal?.removeEventListener("abort", done)
        s.waits.delete(tx)
        resolve()
      }
      const late = setTimeout(done, SYNC)
      signal?.addEventListener("abort", done)
      s.waits.set(tx, done)
    })
  }

  /** The stream has shown a transaction. It may say so before the call is answered. */
  function tellSynced(s, tx) {
    const done = s.waits.get(tx)
    if (done) return done()
    if (s.synced.size > 100) s.synced.clear()
    s.synced.add(tx)
  }

  /** What waits for the effect of a call on a stream that has ended waits in vain. */
  function release(s) {
    s.sid = undefined
    for (const done of [...s.waits.values()]) done()
  }

  // ── Optimistic updates ──────────────────────────────────────────────────

  let layers = [] // updates of calls that are not over, the oldest first
  let overlay = new Map() // key → the data that they show
  let held // the timer of results that wait for the call they may show

  /** Shows an update until the function that it gives back is called. */
  function lay(update) {
    const layer = { update }
    layers.push(layer)
    replay()
    return () => {
      if (!layers.includes(layer)) return
      layers = layers.filter((l) => l !== layer)
      replay()
    }
  }

  /** Makes the updates again, upon what the server says now. */
  function replay() {
    clearTimeout(held)
    held = undefined
    const touched = new Set(overlay.keys())
    overlay = new Map()
    const local = {
      get(name, args) {
        const key = keyOf(name, args)
        return overlay.has(key) ? overlay.get(key) : byKey.get(key)?.state.data
      },
      set: (name, args, data) => void overlay.set(keyOf(name, args), data),
    }
    for (const { update } of layers) {
      try {
        update(local)
      } catch (e) {
        fault(e)
      }
    }
    for (const key of overlay.keys()) touched.add(key)
    for (const key of touched) if (byKey.has(key)) show(byKey.get(key))
  }

  /** Works out what users see of a subscription. */
  function show(sub) {
    const { data, status, error } = sub.state
    const over = overlay.has(sub.key) && (status === "live" || status === "stale")
    const next = over ? { data: overlay.get(sub.key), status, error } : sub.state
    if (same(sub.shown, next)) return
    sub.shown = next
    sub.users.forEach(tell)
  }

  // ── Subscriptions ───────────────────────────────────────────────────────

  function subscribe(name, args, cb, { signal, bare } = {}) {
    if (closed) throw new WeirError("closed", "the client is closed")
    const key = keyOf(name, args)
    let sub = byKey.get(key)
    if (!sub) {
      sub = { id: ++ids, key, name, args: JSON.parse(encode(args)), users: new Set(), state: CONNECTING, shown: CONNECTING, failures: 0 }
      byKey.set(key, sub)
      byId.set(sub.id, sub)
      schedule()
    }
    clearTimeout(sub.linger)
    const user = { cb, sub, bare } // bare: without optimistic updates
    const close = () => {
      signal?.removeEventListener("abort", close)
      if (!sub.users.delete(user) || sub.users.size || closed) return
      // One that shows nothing is not worth keeping, and trying anew may help it.
      if (!sub.sent || ["denied", "error"].includes(sub.state.status)) remove(sub)
      else sub.linger = setTimeout(remove, LINGER, sub)
    }
    sub.users.add(user)
    tell(user)
    if (signal?.aborted) close()
    signal?.addEventListener("abort", close)
    return { close, get current() { return sub.shown } }
  }

  /** The state that a subscription would begin with. */
  const peek = (name, args) => byKey.get(keyOf(name, args))?.shown ?? CONNECTING

  /** Every new result; undefined where access was taken away. */
  async function* watch(name, args, { signal } = {}) {
    let last = watch // nothing yet
    let go
    const next = () => go?.()
    const sub = subscribe(name, args, next)
    const ends = [signal, life.signal].filter(Boolean)
    for (const end of ends) end.addEventListener("abort", next)
    try {
      while (!ends.some((end) => end.aborted)) {
        const { data, status, error } = sub.current
        if (status === "error" && !error.retryable) throw error
        if (data !== last && (data !== undefined || status === "denied")) yield (last = data)
        else await new Promise((resolve) => (go = resolve))
      }
    } finally {
      for (const end of ends) end.removeEventListener("abort", next)
      sub.close()
    }
  }

  function remove(sub) {
    clearTimeout(sub.linger)
    clearTimeout(sub.timer)
    byKey.delete(sub.key)
    byId.delete(sub.id)
    if (stream && sub.sent === stream && !sub.over) stream.drops.push(sub.id)
    schedule()
  }

  /** Drops what a subscription holds. */
  function clear(sub) {
    sub.q = sub.v = sub.next = sub.keys = undefined
    sub.state = { ...sub.state, data: undefined }
  }

  function set(sub, status, error, data = sub.state.data) {
    const next = { data, status, error }
    if (same(sub.state, next)) return
    sub.state = next
    for (const user of sub.users) if (user.bare) tell(user)
    if (!overlay.has(sub.key)) show(sub)
    // What an optimistic update foretells may be in it, and would be seen twice.
    else if (status === "live") held ??= setTimeout(replay, HOLD)
    else replay()
  }

  /** Tells a user the newest state, once for all changes of a moment. */
  function tell(user) {
    if (user.due) return
    user.due = true
    queueMicrotask(() => {
      user.due = false
      const state = user.bare ? user.sub.state : user.sub.shown
      if (!user.sub.users.has(user) || closed || user.seen === state) return
      user.seen = state
      try {
        user.cb(state)
      } catch (e) {
        fault(e)
      }
    })
  }

  /** The server does not have this subscription; what may pass is tried again. */
  function refuse(sub, error) {
    sub.over = true
    sub.next = sub.q = undefined
    set(sub, "error", error)
    if (byKey.get(sub.key) === sub && [...sub.users].some((user) => !user.bare)) crowded(error)
    if (error.retryable) sub.timer = setTimeout(() => {
      sub.over = false
      sub.sent = undefined
      schedule()
    }, backOff(sub.failures++))
  }

  const wire = (sub) => ({ id: sub.id, q: sub.name, args: sub.args, have: sub.v })

  // ── Changes of the stream ───────────────────────────────────────────────

  /** Gathers what this moment adds and drops into one request. */
  function schedule() {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      flush()
    })
  }

  function flush() {
    if (closed || frozen) return
    if (room && !room.leading) return follow()
    if (!byId.size) return rest()
    if (!stream) return timer || (sharing && !room ? enter() : open())
    // One request at a time: a drop must not overtake its addition.
    if (stream.sid && !stream.changing) change(stream)
  }

  /** Nobody wants anything: no stream is needed. */
  function rest() {
    clearTimeout(timer)
    timer = undefined
    const s = stream
    stream = undefined
    if (s) end(s)
    if (room?.leading) post({ sid: undefined })
  }

  async function change(s) {
    const drop = s.drops
    let add = [...byId.values()].filter((sub) => sub.sent !== s && !sub.over)
    if (s.apart) add = drop.length ? [] : add.slice(0, 1)
    if (!add.length && !drop.length) return
    s.drops = []
    for (const sub of add) sub.sent = s
    s.changing = true
    try {
      await request("stream/" + s.sid, { body: JSON.stringify({ add: add.map(wire), drop }), signal: s.abort.signal })
      s.failures = 0
    } catch (e) {
      if (stream !== s) return
      if (e.code === "session_gone") return end(s, e)
      if (!(e.status < 500)) {
        // Perhaps it was taken in; both halves may be said twice.
        s.drops.unshift(...drop)
        for (const sub of add) sub.sent = undefined
        s.later = setTimeout(() => { s.changing = false; flush() }, backOff(s.failures++))
        return
      }
      // All were refused for the sake of one.
      if (add.length > 1 || (add.length && drop.length)) {
        s.drops.unshift(...drop)
        for (const sub of add) sub.sent = undefined
        s.apart = true
      } else if (add.length) refuse(add[0], e)
    }
    s.changing = false
    flush()
  }

  /** Gives the open stream a newer token. A source may have none yet: one that
   * keeps tokens gives the old one until it ends. Then it is asked again. */
  async function renew(s) {
    const wait = s.renewed ? s.renewed + RENEWAL - Date.now() : 0
    await new Promise((done) => (s.renewal = setTimeout(done, Math.max(0, wait))))
    s.renewed = Date.now()
    try {
      await ask()
      if (stream !== s) return
      if (token === s.token || claims(token)?.exp <= claims(s.token)?.exp) return renew(s)
      await request("stream/" + s.sid, { body: "{}", signal: s.abort.signal })
      s.token = token
    } catch (e) {
      if (stream !== s) return
      if (e.code === "session_gone") return end(s, e)
      if (e.retryable) return renew(s) // without a new token the stream will end, and the next one asks again
    }
  }

  // ── The stream ──────────────────────────────────────────────────────────

  async function open() {
    const s = (stream = { abort: new AbortController(), drops: [], failures: 0, ping: OPENING / 2.5, apart, waits: new Map(), synced: new Set() })
    let failure
    try {
      if (Date.now() - entered > RENEWAL) await ask()
      entered = 0
      if (stream !== s) return
      s.asked = true
      s.token = token
      listen(s)
      const subs = s.apart ? [] : [...byId.values()]
      for (const sub of byId.values()) {
        clearTimeout(sub.timer)
        sub.sent = s.apart ? undefined : s
        sub.over = false
      }
      const body = JSON.stringify({ at: at || undefined, subs: subs.map(wire) })
      const res = await once("stream?delta=1", { body, signal: s.abort.signal, accept: "text/event-stream" })
      const push = parser((event, data) => stream === s && !s.closing && receive(s, event, data))
      for (const reader = res.body.getReader(); !s.closing; ) {
        const { done, value } = await reader.read()
        if (done) break
        push(value)
        if (stream === s) listen(s)
      }
    } catch (e) {
      failure = e
    }
    end(s, failure)
  }

  /** A connection that died unnoticed is silent: it does not even ping. */
  function listen(s) {
    s.heard = Date.now()
    clearTimeout(s.dog)
    s.dog = setTimeout(() => end(s, silent()), 2.5 * s.ping)
  }

  /** Somebody looks at the page again, or the network is back. A stream that
   * missed a ping, or that lived through the outage, is not waited for. */
  function look() {
    if (globalThis.document?.hidden || closed) return
    const s = stream
    if (s?.sid && (s.offline || Date.now() - s.heard > 1.5 * s.ping)) end(s, silent())
    if (room && !room.leading) probe()
    if (Date.now() >= earliest) wake()
  }

  /** The page is about to stop. Chromium reads no more of a response that lived
   * through that, and does not say so; and who hears other tabs but reads no
   * stream must not lead them. */
  function freeze() {
    frozen = true
    leave()
    if (stream) end(stream, silent())
    else for (const sub of byId.values()) if (sub.state.status === "live") set(sub, "stale", silent())
  }

  function thaw() {
    frozen = false
    schedule()
    look()
  }

  /** Ends a stream, once, and arranges for the next. */
  function end(s, failure) {
    for (const t of [s.dog, s.later, s.renewal]) clearTimeout(t)
    s.abort.abort()
    release(s) // the next stream shows it anyway
    if (stream !== s) return
    stream = undefined
    if (room?.leading) post({ sid: undefined })
    if (s.since && Date.now() - s.since >= HEALTHY) failures = 0
    const { reason, retry_ms = 0 } = s.closing ?? {}
    let error = failure ?? new WeirError(reason ?? "network", reason ? "the server ended the stream: " + reason : "the connection broke", { retryable: true })
    if (!(error instanceof WeirError)) error = new WeirError("network", "the connection broke", { retryable: true, cause: error })
    // What a request may have been refused for is left away from the next one.
    if (error.status === 400) at = ""
    apart = !apart && [400, 413, 429].includes(error.status)
    const least = Math.max(retry_ms, error.retryAfter ?? 0)
    earliest = Date.now() + least
    // Without a network only a server on this machine can be reached.
    const delay = globalThis.navigator?.onLine === false ? LAST_DELAY : CALM.includes(reason) || apart ? least : Math.max(least, backOff(failures++))
    for (const sub of byId.values()) {
      sub.sent = sub.next = sub.q = undefined
      const { status } = sub.state
      if (status === "denied" || status === "error") continue
      const final = error.status && !error.retryable && error.code !== "session_gone" && !apart
      set(sub, final ? "error" : status === "live" ? "stale" : status, error)
    }
    timer = setTimeout(wake, delay)
  }

  /** Opens the next stream now. */
  function wake() {
    if (!timer) return
    clearTimeout(timer)
    timer = undefined
    flush()
  }

  function receive(s, event, text) {
    const d = JSON.parse(text)
    if (d.at) at = d.at
    const sub = byId.get(d.id)
    switch (event) {
      case "hello":
        s.sid = d.sid
        s.ping = d.ping_ms
        s.since = Date.now()
        apart = false
        if (room?.leading) post({ sid: s.sid })
        return schedule()
      case "message":
      case "delta":
        return result(s, d)
      case "expiring":
        return void renew(s)
      case "synced":
        // Other tabs are told of states in a microtask, and of this after them.
        if (room?.leading) queueMicrotask(() => post({ tx: d.tx }))
        return tellSynced(s, d.tx)
      case "close":
        s.closing = d
        return
    }
    if (!sub || sub.sent !== s || sub.over) return
    switch (event) {
      case "sub":
        return announce(sub, d)
      case "problem": {
        const error = new WeirError(d.code, d.message, { retryable: d.retryable })
        // After a sub event that says error it explains it; else it is the end.
        if (sub.next?.status !== "error" || sub.next.error) return refuse(sub, error)
        sub.next.error = error
        return settle(sub)
      }
      case "end":
        return refuse(sub, new WeirError(d.reason, d.message))
    }
  }

  /** A sub event: what the subscription is, and which result it shows. */
  function announce(sub, { q, v, status, reason }) {
    if (q) sub.q = q
    if (status === "denied") {
      sub.q = sub.next = undefined
      return deny(sub, new WeirError("denied", "access denied", { reason }))
    }
    if (status === "unchanged") status = "live"
    const error = status === "stale" ? waiting(reason) : undefined
    sub.next = { v: v ?? sub.v, status, error }
    settle(sub)
  }

  function deny(sub, error) {
    // Said again, as after a reconnect, it is no news.
    if (sub.state.status === "denied" && sub.state.error.reason === error.reason) return
    clear(sub)
    set(sub, "denied", error)
  }

  /** A result, or what is new in it: for every subscription that was announced to show it. */
  function result(s, d) {
    for (const sub of byId.values()) {
      if (sub.sent !== s || sub.q !== d.q || sub.next?.v !== d.v || sub.v === d.v) continue
      if (!d.set) sub.next.data = take(sub, d.v, content(d), d.key)
      else if (sub.v === d.from && sub.keys) sub.next.data = patch(sub, d)
      else {
        // It is asked for anew, and whole.
        sub.v = sub.next = sub.sent = undefined
        set(sub, "stale", waiting())
        schedule()
        continue
      }
      settle(sub)
    }
  }

  /** Puts a delta into the rows: some go, then some come or change, each at its place. */
  function patch(sub, { v, set, del }) {
    const { keys: old, state: { data } } = sub
    const gone = new Set(del), places = new Map(old.map((key, i) => [key, i]))
    const rows = data.filter((_, i) => !gone.has(old[i])), keys = old.filter((key) => !gone.has(key))
    for (const [i, key, row] of set) {
      const there = keys[i] === key ? 1 : 0
      rows.splice(i, there, keep(data[places.get(key)], row))
      keys.splice(i, there, key)
    }
    Object.assign(sub, { v, keys })
    return rows
  }

  /** Takes a new version in, and gives it back with the old rows where they are equal. */
  function take(sub, v, data, key) {
    const keys = key && Array.isArray(data) ? data.map((row) => key.map((name) => JSON.stringify(row[name])).join()) : undefined
    const kept = keepRows(sub.state.data, sub.keys, data, keys)
    Object.assign(sub, { v, rowKey: key, keys })
    return kept
  }

  /** Shows what was announced, as soon as all of it is there. */
  function settle(sub) {
    const { v, status, error, data = sub.state.data } = sub.next
    if (v !== sub.v || (status === "error" && !error)) return
    if (status === "live") sub.failures = 0
    set(sub, status, error, data)
  }

  // ── Tabs ────────────────────────────────────────────────────────────────
  //
  // A browser opens six HTTP/1.1 connections to a server, for all tabs together.
  // Tabs of one user share a stream: the tab that holds a lock has it, and tells
  // the others by a channel what they want of it. When it is closed, or does not
  // answer, another one takes the lock.

  /** Joins the tabs of this user, if it can be told who that is. */
  async function enter() {
    if (sharing === "soon") return
    sharing = "soon"
    try {
      if (token === undefined) {
        await ask()
        entered = Date.now()
      }
    } catch {
      return open() // which fails as well, tells so, and tries again
    } finally {
      sharing = true
    }
    if (closed || room || stream) return
    if (badge(token) === undefined) {
      sharing = false
      return schedule()
    }
    const name = `weir 1 ${new URL(base || "/", globalThis.location?.href)} ${badge(token)}`
    const r = (room = { name, badge: badge(token), id: newKey(), told: new Map(), waits: new Map(), synced: new Set(), gone: new AbortController() })
    r.channel = new BroadcastChannel(name)
    r.channel.onmessage = (e) => r === room && hear(e.data)
    // Who waits for this lock learns that the tab is gone.
    const held = () => new Promise((over) => r.gone.signal.addEventListener("abort", over))
    navigator.locks.request(name + " " + r.id, () => {
      if (r !== room) return
      r.here = true
      elect()
      schedule()
      return held()
    })
  }

  /** Waits for the lead, or takes it from a tab that does not answer. */
  function elect(steal) {
    const r = room
    r.queue?.abort()
    const queue = (r.queue = new AbortController())
    navigator.locks.request(r.name, steal ? { steal } : { signal: queue.signal }, () => {
      if (r !== room) return
      Object.assign(r, { leading: true, shares: new Map(), followers: new Set(), sid: undefined, reign: new AbortController() })
      clearTimeout(r.guard)
      release(r)
      post({ lead: true })
      schedule()
      return new Promise((over) => r.gone.signal.addEventListener("abort", over))
    }).catch(() => {
      if (r !== room || r.queue !== queue) return
      resign()
      elect()
      schedule()
    })
  }

  /** Another tab leads now. */
  function resign() {
    if (!room.leading) return
    room.leading = false
    room.reign.abort()
    for (const share of room.shares.values()) share.close()
    room.told.clear()
    rest()
    for (const sub of byId.values()) sub.sent = sub.next = sub.q = undefined
  }

  function leave() {
    const r = room
    if (!r) return
    if (r.leading) {
      r.reign.abort()
      for (const share of r.shares.values()) share.close()
    }
    room = undefined
    r.queue?.abort()
    clearTimeout(r.guard)
    r.gone.abort()
    r.channel.close()
    release(r)
    for (const sub of byId.values()) if (!stream) sub.sent = undefined
  }

  const post = (m) => room?.channel.postMessage(m)

  function hear(m) {
    if (room.leading) return m.from && serve(m)
    if (m.from) return
    guard()
    if (m.lead) {
      room.told.clear()
      release(room)
      schedule()
    } else if ("sid" in m) {
      if (room.sid !== m.sid) release(room)
      room.sid = m.sid
    } else if (m.tx) tellSynced(room, m.tx)
    else if (byKey.has(m.key)) adopt(byKey.get(m.key), m)
  }

  /** The leading tab takes in what another one wants. */
  function serve({ from, drop = [], add = [] }) {
    const { shares, followers, name, reign } = room
    if (!followers.has(from)) {
      followers.add(from)
      const gone = () => {
        followers.delete(from)
        for (const [key, share] of shares) unshare(key, share, from)
      }
      navigator.locks.request(name + " " + from, { signal: reign.signal }, gone).catch(() => {})
    }
    for (const key of drop) if (shares.has(key)) unshare(key, shares.get(key), from)
    for (const [name, args] of add) {
      const key = keyOf(name, args)
      let share = shares.get(key)
      if (!share) {
        const tabs = new Set()
        const tellTabs = () => {
          const sub = byKey.get(key)
          const { data, status, error } = sub.state
          post({ key, v: sub.v, rowKey: sub.rowKey, data, status, error: error && { ...error, message: error.message, cause: undefined } })
        }
        share = { ...subscribe(name, args, tellTabs, { bare: true }), tabs, tellTabs }
        shares.set(key, share)
      } else share.tellTabs()
      share.tabs.add(from)
    }
    post({ sid: stream?.sid })
  }

  function unshare(key, share, from) {
    if (!share.tabs.delete(from) || share.tabs.size) return
    share.close()
    room?.shares.delete(key)
  }

  /** Tells the leading tab what this one wants. */
  function follow() {
    const { here, told, id } = room
    if (!here) return
    const add = [], drop = []
    for (const [key, sub] of told) if (byKey.get(key) !== sub) {
      told.delete(key)
      drop.push(key)
    }
    for (const sub of byId.values()) if (told.get(sub.key) !== sub) {
      told.set(sub.key, sub)
      add.push([sub.name, sub.args])
    }
    if (add.length || drop.length) post({ from: id, add, drop })
    guard()
  }

  /** A leading tab that is silent for long is asked whether it is there. */
  function guard() {
    clearTimeout(room.guard)
    if (!room.leading && byId.size) room.guard = setTimeout(probe, PROBE)
  }

  function probe() {
    clearTimeout(room.guard)
    if (room.leading || !room.here || !byId.size) return
    if (globalThis.document?.hidden) return guard()
    post({ from: room.id })
    room.guard = setTimeout(elect, REPLY * (1 + Math.random()), true)
  }

  /** A session has so many subscriptions: a tab that finds no room has a stream of its own. */
  function crowded(error) {
    if (!room || error?.code !== "limit" || error.status !== 429 || (room.leading && !room.shares.size)) return false
    leave()
    sharing = false
    schedule()
    return true
  }

  /** Takes in what the leading tab shows. */
  function adopt(sub, { v, rowKey, data, status, error }) {
    const e = error && new WeirError(error.code, error.message, error)
    if (crowded(e)) return
    if (status === "denied") return deny(sub, e)
    // A new leader begins with nothing; what is here is not lost for that.
    if (data === undefined) return set(sub, sub.state.data === undefined || status === "error" ? status : "stale", e)
    set(sub, status, e, v !== undefined && sub.v === v ? sub.state.data : take(sub, v, data, rowKey))
  }

  const on = (target, type, f) => target?.addEventListener?.(type, f, { signal: life.signal })
  on(globalThis, "online", look)
  on(globalThis, "offline", () => stream && (stream.offline = true))
  on(globalThis, "pageshow", look)
  on(globalThis.document, "visibilitychange", look)
  on(globalThis.document, "freeze", freeze)
  on(globalThis.document, "resume", thaw)

  function close() {
    leave()
    closed = true
    life.abort()
    clearTimeout(held)
    for (const sub of byId.values()) {
      clearTimeout(sub.linger)
      clearTimeout(sub.timer)
    }
    byId.clear()
    byKey.clear()
    rest()
  }

  return { subscribe, watch, peek, get, call, close }
}

/** Whether this is a page whose connections are few: one over HTTP/1.1. */
function scarce(base) {
  const { document, location, performance } = globalThis
  if (!document) return false
  const { origin, protocol } = new URL(base || "/", location.href)
  const hop = origin === location.origin && performance.getEntriesByType("navigation")[0]?.nextHopProtocol
  return hop ? hop.startsWith("http/1") : protocol === "http:"
}

/** What a token says, if it is a JWT. */
function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")))
  } catch {}
}

/** Whose a token is: it stays when the token is renewed. Undefined if that cannot be told. */
function principal(token) {
  if (token === null || token.startsWith("dev:")) return token ?? ""
  const c = claims(token)
  return c && JSON.stringify([c.iss, c.sub])
}

/** What a token says beside when and how often: tabs that share a stream have the same. */
function badge(token) {
  if (token === null || token.startsWith("dev:")) return token ?? ""
  const c = claims(token)
  return c && encode({ ...c, exp: undefined, iat: undefined, nbf: undefined, jti: undefined })
}

/** A newer state is on its way. */
const waiting = (reason) => new WeirError(reason || "stale", "a newer state is waiting to be shown", { retryable: true })

const silent = () => new WeirError("network", "the server is silent", { retryable: true })

/** The caller's fault must not break the stream. */
const fault = (e) => void setTimeout(() => { throw e })

const same = (a, b) => a.status === b.status && a.error === b.error && a.data === b.data

/** Names a subscription. */
const keyOf = (name, args) => name + " " + encode(args)

/** A new key for a call that is to run once. */
const newKey = () => globalThis.crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2)).join("")

/** Full jitter: clients that failed together do not come back together. */
const backOff = (failures) => Math.random() * Math.min(LAST_DELAY, FIRST_DELAY * 2 ** failures)

const content = ({ rows, value }) => rows ?? value

/** Arguments as JSON, equal for equal arguments whatever the order of members. */
function encode(args) {
  return JSON.stringify(args ?? {}, (_, v) =>
    v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, v[k]])) : v)
}

async function problem(res) {
  let p = {}
  try {
    p = await res.json()
  } catch {} // a proxy's page
  const after = Number(res.headers.get("Retry-After"))
  return new WeirError(p.code ?? "http", p.message ?? "the server answered " + res.status, {
    status: res.status,
    retryable: p.code ? !!p.retryable : res.status >= 500,
    requestId: p.request_id,
    retryAfter: after > 0 ? after * 1000 : undefined,
  })
}

/** The new rows, with the old objects where a row is equal: by key, or by place. */
function keepRows(old, oldKeys, now, keys) {
  if (!Array.isArray(old) || !Array.isArray(now) || !oldKeys !== !keys) return keep(old, now)
  if (!keys) return keep(old, now)
  const places = new Map(oldKeys.map((key, i) => [key, i]))
  const rows = now.map((row, i) => keep(old[places.get(keys[i])], row))
  return rows.length === old.length && rows.every((row, i) => row === old[i]) ? old : rows
}

/** The new value, with the old one's parts wherever they are equal. */
function keep(old, now) {
  if (old === now || !old || !now || typeof old !== "object" || typeof now !== "object" || Array.isArray(old) !== Array.isArray(now)) return now
  let same = Object.keys(old).length === Object.keys(now).length
  for (const k of Object.keys(now)) {
    if (!Object.hasOwn(old, k)) same = false
    else if ((now[k] = keep(old[k], now[k])) !== old[k]) same = false
  }
  return same ? old : now
}

/**
 * Reads server-sent events by the standard's rules, cut anywhere. Gives back a
 * function that takes bytes; `on(event, data, id)` hears each whole event.
 */
export function parser(on) {
  const decoder = new TextDecoder() // keeps split characters, drops the BOM
  let line = "", event = "", data = [], id = ""
  let cr = false // a line feed that comes next belongs to the line that ended

  function take() {
    if (!line) {
      if (data.length) on(event || "message", data.join("\n"), id)
      event = ""
      data = []
      return
    }
    const colon = line.indexOf(":")
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (name === "data") data.push(value)
    else if (name === "event") event = value
    else if (name === "id" && !value.includes("\0")) id = value
    line = ""
  }

  return (bytes) => {
    const text = decoder.decode(bytes, { stream: true })
    let from = 0
    if (cr && text) {
      if (text[0] === "\n") from = 1
      cr = false
    }
    // Only the new text is searched: a large event comes in many pieces.
    const ends = /\r\n?|\n/g
    ends.lastIndex = from
    for (let m; (m = ends.exec(text)); from = ends.lastIndex) {
      line += text.slice(from, m.index)
      cr = m[0] === "\r" && ends.lastIndex === text.length
      take()
    }
    line += text.slice(from)
  }
}
