// What a plugin declares.
const statements = [], functions = []
let pluginName = 'plugin', pluginVersion = '0.0.0', capabilities = []
const dynamicSQL = 'sql.dynamic'
let sealed = false // nothing may be declared any more
let calling = false // a function runs

function checkOptions(options, known, what) {
  if (typeof options !== 'object' || options === null) throw new TypeError(`${what}: the options are an object`)
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`${what}: unknown option ${name}: there is ${known.join(', ')}`)
  }
}

class Policy {
  constructor(name) {
    this.name = name
    Object.freeze(this)
  }
}

function declare(kind, name, args, body, options = {}) {
  if (sealed) throw new Error(`${name} is declared during a call: declare functions at the top of the file`)
  if (typeof name !== 'string') throw new TypeError(`${kind}: the first argument is the function's name`)
  checkOptions(options, kind === 'policy' ? ['uses', 'doc'] : ['require', 'signedIn', 'public', 'uses', 'result', 'doc'], name)
  if (!(body instanceof Statement) && typeof body !== 'function') throw new TypeError(`${name}: the third argument is a statement or a function of the arguments`)
  if (kind === 'query' && body instanceof Command) throw new TypeError(`${name} writes, but a query only reads: make it a mutation`)
  if (functions.some(f => f.name === name)) throw new Error(`${name} is declared twice`)
  const fields = fieldsOf(args, name)
  const f = { kind, name, fields, body, options, policies: [options.require ?? []].flat() }
  for (const p of f.policies) {
    if (!(p instanceof Policy)) throw new TypeError(`${name}: require takes what allowIf, policy or otherPolicy returned`)
  }
  if (kind !== 'policy' && !f.policies.length && !options.signedIn && !options.public) {
    throw new Error(`${name} says nothing about access: add { require: [policy] }, { signedIn: true } or { public: true }`)
  }
  f.result = options.result && typeOf(options.result, `${name}: result`)
  f.input = {}
  for (const source of [undefined, 'claims', 'scope', 'action', 'function']) {
    for (const [field, type] of Object.entries(fields)) if (type.source === source) f.input[field] = type
  }
  functions.push(f)
}

function query(name, args, body, options) { declare('query', name, args, body, options) }
function mutation(name, args, body, options) { declare('mutation', name, args, body, options) }

function policy(name, args, decide, options) {
  declare('policy', name, args, decide, options)
  return new Policy(name)
}

function allowIf(name, args, sql, options) {
  const s = new Statement(sql, {}, false)
  s.policy = true
  return policy(name, args, s, options)
}

function owner(name, args, table, column, options) {
  const plain = /^("[^"\x00]+"|[A-Za-z_]\w*)(\.("[^"\x00]+"|[A-Za-z_]\w*))*$/
  if (!plain.test(table) || !plain.test(column)) throw new TypeError(`owner: table and column are names, quoted if they need it: ${table}, ${column}`)
  const where = []
  let me
  for (const [name, type] of Object.entries(fieldsOf(args, 'owner'))) {
    if (type.source === 'claims') me = name
    else if (!type.source) where.push(`"${name}" = $${name}`)
  }
  if (!where.length) throw new TypeError('owner: say which row: an argument named like its key column')
  if (!me) throw new TypeError(`owner: say who is compared with ${column}: an argument like me: t.claim("sub")`)
  return allowIf(name, args, `select 1 from ${table} where ${[...where, `${column} = $${me}`].join(' and ')}`, options)
}

const otherPolicy = name => new Policy(name)
const select = (sql, options = {}) => new Statement(sql, options, false)
const exec = (sql, options = {}) => new Command(sql, options, true)

const nest = (name, on, rows, column) => new Nest(name, on, rows, column)

function plugin(name, version = '0.0.0', options = {}) {
  if (sealed) throw new Error('plugin works only at the top of the file')
  checkOptions(options, ['capabilities'], 'plugin')
  pluginName = name
  pluginVersion = version
  capabilities = [options.capabilities ?? []].flat()
}

const inOrderOfNames = (a, b) => a.name < b.name ? -1 : 1 // names are ASCII, or refused

// manifest describes what was declared.
function manifest() {
  return {
    abi: 1, name: pluginName, version: pluginVersion,
    statements: statements.map(s => s.describe()),
    functions: functions.sort(inOrderOfNames).map(describe),
    capabilities,
  }
}

function describe(f) {
  const { options, body } = f
  const entries = Object.entries(f.fields)
  const from = source => entries.filter(([, type]) => type.source === source)
  const out = { name: f.name, kind: f.kind, fields: from(undefined).map(([name, type]) => ({ name, schema: type.schema })) }
  const claims = from('claims').map(([name, type]) => ({ name, claim: type.claim, schema: type.schema }))
  const scope = from('scope').map(([name, type]) => ({ name, schema: type.schema }))
  if (claims.length) out.claims = claims
  if (scope.length) out.scope = scope
  if (from('action').length) out.action = true
  if (from('function').length) out.function = true
  if (body instanceof Statement) out.statement = body.index
  else {
    const uses = usesOf(f)
    if (uses.length) out.uses = uses
  }
  if (f.result) out.result = f.result.schema
  if (options.signedIn) out.access = 'signed_in'
  else if (options.public) out.access = 'public'
  else if (f.policies.length) out.access = { policies: f.policies.map(p => p.name) }
  if (options.doc) out.doc = options.doc
  return out
}

// usesOf lists the statements that a function may run: all that its kind allows,
// unless it says less, and what those nest.
function usesOf(f) {
  const all = new Set()
  const add = s => {
    if (!(s instanceof Statement)) throw new TypeError(`${f.name}: uses takes statements`)
    if (all.has(s.index)) return
    all.add(s.index)
    s.nest.forEach(n => add(n.statement))
  }
  const chosen = f.options.uses ?? statements.filter(s => !s.policy && (f.kind === 'mutation' || !s.writes))
  chosen.forEach(add)
  return [...all].sort((a, b) => a - b)
}

// What a function may ask of the host, and say.

function running(what) {
  if (!calling) throw new Error(`${what} works only while a function runs`)
}

function fail(code, message, more = {}) { return new Failure(String(code), String(message), { retryable: Boolean(more.retryable) }) }

function now() {
  running('now')
  return new Date(hostNow() / 1000)
}

function micros(time, what) {
  const n = time instanceof Date ? time.getTime() * 1000 : typeof time === 'string' ? Date.parse(time) * 1000 : NaN
  if (!Number.isFinite(n)) throw new TypeError(`${what}: want a Date, found ${String(time)}`)
  return Math.round(n)
}

function wakeAt(time) {
  running('wakeAt')
  done(hostWakeAt(micros(time, 'wakeAt')))
}

function config(key) {
  running('config')
  const n = putText(String(key), 0)
  for (;;) {
    const size = hostConfig(0, n, n, bytes.length - n)
    if (size === -8) return undefined
    if (done(size) <= bytes.length - n) return textAt(0, n, size)
    grow(n + size)
  }
}

function line(level, parts) {
  const words = parts.map(p => typeof p === 'string' ? p : p instanceof Error ? told(p) : inspect(p))
  at = 0
  hostLog(level, 0, putText(words.join(' '), 0))
}

function inspect(v) {
  try {
    return JSON.stringify(v, (_, x) => typeof x === 'bigint' ? String(x) : x) ?? String(v)
  } catch {
    return String(v)
  }
}

const log = Object.freeze({
  debug: (...parts) => line(0, parts),
  info: (...parts) => line(1, parts),
  warn: (...parts) => line(2, parts),
  error: (...parts) => line(3, parts),
})

class Decision {
  constructor(allow, more) {
    this.allow = allow
    Object.assign(this, more)
    Object.freeze(this)
  }
}

function allow(more = {}) {
  checkOptions(more, ['scope', 'until'], 'allow')
  return new Decision(true, more)
}

function deny(reason = '', more = {}) {
  checkOptions(more, ['until'], 'deny')
  return new Decision(false, { reason: String(reason), ...more })
}

// decision makes a policy's answer what the contract wants.
function decision(d, name) {
  if (typeof d === 'boolean') d = new Decision(d)
  if (!(d instanceof Decision)) throw new TypeError(`${name} returned ${inspect(d)}: return allow(), deny(reason), true or false`)
  const out = { allow: d.allow }
  if (d.reason) out.reason = d.reason
  if (d.scope) {
    for (const [key, v] of Object.entries(d.scope)) {
      if (!['string', 'boolean', 'number', 'bigint'].includes(typeof v)) throw new TypeError(`${name}: scope.${key} is not a text, a boolean or a number`)
    }
    out.scope = d.scope
  }
  if (d.until) out.wake_at = micros(d.until, 'until')
  return out
}
