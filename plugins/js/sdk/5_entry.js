// The adapter calls one function: entry(0, length) with the source in the input,
// entry(1) for the manifest, entry(2, function, length) for a call. It returns a
// tag and a length.
let file = 'plugin.js'

const reply = (tag, n) => tag * 0x100000000 + n
const tagValue = 0, tagHandle = 1, tagError = 2, tagNone = 3
const maxMessage = 7000 // characters may take more bytes than one: see cut

// told is what people read of an error: its text, and where it was thrown.
function told(e) {
  if (!(e instanceof Error)) return `${inspect(e)} was thrown: throw an Error, which knows its line`
  const text = `${e.name}: ${e.message}`
  const frames = String(e.stack ?? '').split('\n').map(s => s.trim().replace(/^at /, '')).filter(s => s.includes(file + ':'))
  return frames.length ? `${text} at ${frames.slice(0, 6).join(', ')}` : text
}

function cut(text, most) {
  while (utf8Length(text) > most) text = text.slice(0, Math.floor(text.length * 0.9))
  return text.toWellFormed()
}

// failure writes an error value. Memory that is used up ends the guest, so that
// the host says so.
function failure(e, shown) {
  if (e instanceof InternalError && /out of memory/.test(e.message)) trap()
  const out = e instanceof Failure
    ? { code: cut(e.code, 128), message: cut(e.message, maxMessage), public: true, retryable: Boolean(e.retryable) }
    : { code: e instanceof HostError ? e.code : 'internal', message: cut(shown ?? told(e), maxMessage) }
  at = 0
  write(out)
  return reply(tagError, at)
}

// settle waits for a promise, of which nothing but the plugin's own code can
// decide.
function settle(value, what) {
  if (!(value instanceof Promise)) return value
  let state, outcome
  value.then(v => { state = true; outcome = v }, e => { state = false; outcome = e })
  runJobs()
  if (state === undefined) throw new Error(`${what} waits for something that never comes: there are no timers and no network`)
  if (!state) throw outcome
  return outcome
}

// Promises that failed and that nobody waits for, with why.
const lost = new Map()

// awaited throws what was lost: a write that nobody waited for did not happen.
function awaited() {
  const [reason] = lost.values()
  const any = lost.size > 0
  lost.clear()
  if (any) throw reason
}

const asModule = 1

function run(text, name) {
  const n = putText(text, 0)
  putText(name, n + 1)
  return evaluate(0, n, n + 1, asModule)
}

const api = {
  query, mutation, policy, allowIf, owner, otherPolicy, select, exec, nest, querySQL, t, plugin, fail, now, wakeAt, config, log, allow, deny, HostError,
}

// world is what a plugin sees beside JavaScript itself.
function world() {
  const hidden = value => ({ value, writable: true, enumerable: false, configurable: true })
  for (const [name, value] of Object.entries(api)) Object.defineProperty(globalThis, name, hidden(value))
  Object.defineProperty(globalThis, 'console', hidden(Object.freeze({ ...log, log: log.info, trace: log.debug })))
  // Equal calls draw equal numbers, which the engine's own would not.
  Object.defineProperty(Math, 'random', hidden(() => {
    running('Math.random')
    done(hostRandom(0, 8))
    return Number(view.getBigUint64(0) >> 11n) / 2 ** 53
  }))
  globalThis.__weir = api
  settle(run(Object.keys(api).map(name => `export const ${name} = globalThis.__weir.${name};`).join('\n'), 'weir'), 'the SDK')
  delete globalThis.__weir
}

function load(length) {
  const [name, text] = new Reader(true, length).item()
  file = name
  pluginName = name.replace(/\.[^.]*$/, '')
  world()
  try {
    settle(run(text.replace(/^\ufeff/, ''), name), `${name}, at its top level,`)
  } catch (e) {
    const missing = e instanceof ReferenceError && /^could not load module '(.*)'$/.exec(e.message)
    throw missing ? new Error(`${name} imports '${missing[1]}': a plugin is one file, and imports from "weir" only`) : e
  }
  awaited()
  sealed = true
  return reply(tagNone, 0)
}

function describeAll() {
  at = 0
  write(manifest(), 'the manifest')
  return reply(tagValue, at)
}

function call(index, length) {
  const f = functions[index]
  if (!f || typeof f.body !== 'function') throw new Error('the host called a function that is not the guest\'s')
  const kinds = Object.keys(f.input)
  const input = new Reader(true, length)
  const values = input.item()
  if (input.at !== length) throw new Error(`${f.name}: the input does not end where it says`)
  if (values.length !== kinds.length) throw new Error(`${f.name} has ${values.length} values for ${kinds.length} fields`)
  const args = named(f.input, values, '')
  calling = true
  let out
  try {
    out = settle(f.body(args), f.name)
    runJobs()
    awaited()
  } finally {
    runJobs() // what was left waiting must not run in another call
    lost.clear()
    calling = false
  }
  if (f.kind === 'policy') out = decision(out, f.name)
  else if (out instanceof Rows) return reply(tagHandle, out.handle)
  at = 0
  if (f.result) f.result.write(out, 'the result')
  else if (out === undefined || out === null) return reply(tagNone, 0)
  else write(out)
  return reply(tagValue, at)
}

return (what, a, b, handled) => {
  if (what === 3) return handled ? void lost.delete(a) : void lost.set(a, b)
  try {
    return what === 0 ? load(a) : what === 1 ? describeAll() : call(a, b)
  } catch (e) {
    return failure(e)
  }
}
