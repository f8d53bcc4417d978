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
const CALM = ["drain", "shutdown", "expired"] // ends that are no failures

/** What went wrong. `code` is for programs, `message` for people. */
export class WeirError extends Error {
  constructor(code, message, more) {
    super(message)
    Object.assign(this, { name: "WeirError", code, retryable: false }, more)
  }
}

/** Makes a client. See weir.d.ts for all that it takes and gives. */
export function createClient({ url = "", token: source, fetch: send = globalThis.fetch } = {}) {
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

  // ── Requests ────────────────────────────────────────────────────────────

  let token // what the last ask gave; undefined before the first
  let asking
  const ask = () => (asking ??= (async () => {
    try {
      token = (await (typeof source === "function" ? source() : source)) ?? null
    } catch (cause) {
      throw new WeirError("token", "there is no token: " + (cause?.message ?? cause), { retryable: true, cause })
    } finally {
      asking = undefined
    }
  })())

  async function once(path, { method = "POST", body, signal, accept = "application/json", extra }) {
    const headers = { Accept: accept, ...extra }
    if (token) headers.Authorization = "Bearer " + token
    if (body !== undefined) headers["Content-Type"] = "application/json"
    let res
    try {
      res = await send(base + "/v1/" + path, { method, headers, body, signal })
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
  async function call(name, args, { signal } = {}) {
    const s = stream?.sid ? stream : undefined
    const extra = { "Idempotency-Key": newKey() }
    if (s) extra["Weir-Session"] = s.sid
    for (let tries = 0; ; tries++) {
      try {
        const { result, tx } = await answer("call/" + encodeURIComponent(name), { body: encode(args), signal, extra })
        if (tx && s && !signal?.aborted) await synced(s, tx, signal)
        return result
      } catch (e) {
        if (e.code !== "network" || tries === CALL_TRIES || closed) throw e
        await new Promise((resolve) => setTimeout(resolve, backOff(tries)))
        if (signal?.aborted) throw e
      }
    }
  }

  /** Waits until the stream shows a transaction, or has ended, or for SYNC ms. */
  function synced(s, tx, signal) {
    if (s !== stream || s.synced.delete(tx)) return
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

  // ── Subscriptions ───────────────────────────────────────────────────────

  function subscribe(name, args, cb, { signal } = {}) {
    if (closed) throw new WeirError("closed", "the client is closed")
    const text = encode(args)
    const key = name + " " + text
    let sub = byKey.get(key)
    if (!sub) {
      sub = { id: ++ids, key, name, args: JSON.parse(text), users: new Set(), state: { data: undefined, status: "connecting", error: undefined }, failures: 0 }
      byKey.set(key, sub)
      byId.set(sub.id, sub)
      schedule()
    }
    clearTimeout(sub.linger)
    const user = { cb, sub }
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
    return { close, get current() { return sub.state } }
  }

  function remove(sub) {
    clearTimeout(sub.linger)
    clearTimeout(sub.timer)
    byKey.delete(sub.key)
    byId.delete(sub.id)
    if (stream && sub.sent === stream && !sub.over) stream.drops.push(sub.id)
    schedule()
  }

  function set(sub, status, error, data = sub.state.data) {
    const old = sub.state
    if (old.status === status && old.error === error && old.data === data) return
    sub.state = { data, status, error }
    sub.users.forEach(tell)
  }

  /** Tells a user the newest state, once for all changes of a moment. */
  function tell(user) {
    if (user.due) return
    user.due = true
    queueMicrotask(() => {
      user.due = false
      if (!user.sub.users.has(user) || closed || user.seen === user.sub.state) return
      user.seen = user.sub.state
      try {
        user.cb(user.seen)
      } catch (e) {
        setTimeout(() => { throw e }) // the caller's fault must not break the stream
      }
    })
  }

  /** The server does not have this subscription; what may pass is tried again. */
  function refuse(sub, error) {
    sub.over = true
    sub.next = sub.q = undefined
    set(sub, "error", error)
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
    if (closed) return
    if (!byId.size) return rest()
    if (!stream) return timer || open()
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

  async function renew(s) {
    const wait = s.renewed ? s.renewed + RENEWAL - Date.now() : 0
    await new Promise((done) => (s.renewal = setTimeout(done, Math.max(0, wait))))
    s.renewed = Date.now()
    try {
      await ask()
      if (stream === s) await request("stream/" + s.sid, { body: "{}", signal: s.abort.signal })
    } catch (e) {
      // Without a new token the stream will end, and the next one asks again.
      if (stream === s && e.code === "session_gone") end(s, e)
    }
  }

  // ── The stream ──────────────────────────────────────────────────────────

  async function open() {
    const s = (stream = { abort: new AbortController(), drops: [], failures: 0, ping: OPENING / 2.5, apart, waits: new Map(), synced: new Set() })
    let failure
    try {
      await ask()
      if (stream !== s) return
      watch(s)
      const subs = s.apart ? [] : [...byId.values()]
      for (const sub of byId.values()) {
        clearTimeout(sub.timer)
        sub.sent = s.apart ? undefined : s
        sub.over = false
      }
      const body = JSON.stringify({ at: at || undefined, subs: subs.map(wire) })
      const res = await once("stream", { body, signal: s.abort.signal, accept: "text/event-stream" })
      const push = parser((event, data) => stream === s && !s.closing && receive(s, event, data))
      for (const reader = res.body.getReader(); !s.closing; ) {
        const { done, value } = await reader.read()
        if (done) break
        push(value)
        if (stream === s) watch(s)
      }
    } catch (e) {
      failure = e
    }
    end(s, failure)
  }

  /** A connection that died unnoticed is silent: it does not even ping. */
  function watch(s) {
    clearTimeout(s.dog)
    s.dog = setTimeout(() => end(s, new WeirError("network", "the server is silent", { retryable: true })), 2.5 * s.ping)
  }

  /** Ends a stream, once, and arranges for the next. */
  function end(s, failure) {
    for (const t of [s.dog, s.later, s.renewal]) clearTimeout(t)
    s.abort.abort()
    if (stream !== s) return
    stream = undefined
    for (const done of [...s.waits.values()]) done() // the next stream shows it anyway
    if (s.since && Date.now() - s.since >= HEALTHY) failures = 0
    const { reason, retry_ms = 0 } = s.closing ?? {}
    let error = failure ?? new WeirError(reason ?? "network", reason ? "the server ended the stream: " + reason : "the connection broke", { retryable: true })
    if (!(error instanceof WeirError)) error = new WeirError("network", "the connection broke", { retryable: true, cause: error })
    // What a request may have been refused for is left away from the next one.
    if (error.status === 400) at = ""
    apart = !apart && [400, 413, 429].includes(error.status)
    const delay = CALM.includes(reason) || apart ? retry_ms : Math.max(retry_ms, error.retryAfter ?? 0, backOff(failures++))
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
        return schedule()
      case "message":
        return result(s, d)
      case "expiring":
        return void renew(s)
      case "synced": {
        const done = s.waits.get(d.tx)
        if (done) return done()
        // It may overtake the answer of its call.
        if (s.synced.size > 100) s.synced.clear()
        return void s.synced.add(d.tx)
      }
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
      sub.q = sub.v = sub.next = sub.keys = undefined
      // Said again, as after a reconnect, it is no news.
      if (sub.state.status === "denied" && sub.state.error.reason === reason) return
      sub.state = { ...sub.state, data: undefined }
      return set(sub, "denied", new WeirError("denied", "access denied", { reason }))
    }
    if (status === "unchanged") status = "live"
    const error = status === "stale" ? new WeirError(reason || "stale", "a newer state is waiting to be shown", { retryable: true }) : undefined
    sub.next = { v: v ?? sub.v, status, error }
    settle(sub)
  }

  /** A full result: for every subscription that was announced to show it. */
  function result(s, d) {
    for (const sub of byId.values()) {
      if (sub.sent !== s || sub.q !== d.q || sub.next?.v !== d.v || sub.v === d.v) continue
      const keys = d.rows && d.key ? d.rows.map((row) => JSON.stringify(d.key.map((name) => row[name]))) : undefined
      sub.next.data = keepRows(sub.state.data, sub.keys, content(d), keys)
      sub.v = d.v
      sub.keys = keys
      settle(sub)
    }
  }

  /** Shows what was announced, as soon as all of it is there. */
  function settle(sub) {
    const { v, status, error, data = sub.state.data } = sub.next
    if (v !== sub.v || (status === "error" && !error)) return
    if (status === "live") sub.failures = 0
    set(sub, status, error, data)
  }

  globalThis.addEventListener?.("online", wake)
  function close() {
    closed = true
    globalThis.removeEventListener?.("online", wake)
    for (const sub of byId.values()) {
      clearTimeout(sub.linger)
      clearTimeout(sub.timer)
    }
    byId.clear()
    byKey.clear()
    rest()
  }

  return { subscribe, get, call, close }
}

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
