// Types of arguments, claims, scope values, columns and results. A Type is never
// changed: each method returns another.
class Type {
  constructor(schema, more) {
    Object.assign(this, more)
    this.schema = schema
    Object.freeze(this)
  }

  with(schema, more) {
    return new Type({ ...this.schema, ...schema }, { ...this, ...more })
  }

  // optional: it may be absent or null, and is undefined then.
  optional() { return this.with({ optional: true }) }

  // default: what it is when it is absent.
  default(value) {
    const s = this.schema
    const given = typeof value
    const fits = { integer: given === 'bigint' || Number.isInteger(value), number: given === 'number', boolean: given === 'boolean', array: Array.isArray(value), object: given === 'object' }
    const ok = s.type === 'string' ? s.format === 'bytes' ? value instanceof Uint8Array : given === 'string' : s.type === undefined || fits[s.type]
    if (!ok) throw new TypeError(`default(${String(value)}) does not fit ${s.type}`)
    return this.with({ default: s.type === 'number' ? new Float(value) : value, optional: true })
  }

  // min and max bound a number, the characters of a text, the bytes of bytes, or
  // the items of an array.
  min(n) { return this.bound('min', n) }
  max(n) { return this.bound('max', n) }

  bound(which, n) {
    switch (this.schema.type) {
      case 'integer':
      case 'number': return this.with({ [which + 'imum']: new Float(Number(n)) })
      case 'string':
      case 'array':
        if (!Number.isSafeInteger(n) || n < 0) throw new TypeError(`${which}(${n}) is no length`)
        return this.with({ [which + 'Length']: n })
    }
    throw new TypeError(`${which} is for numbers, texts, bytes and arrays`)
  }

  // doc: a sentence for people.
  doc(sentence) { return this.with({ description: sentence }) }

  // format names what a text is, for people.
  format(name) {
    if (this.schema.type !== 'string') throw new TypeError('format is for texts')
    return this.with({ format: name })
  }

  // read makes of an item what a function gets.
  read(v, path) {
    if (v === null) return undefined
    const s = this.schema
    switch (s.type) {
      case 'integer':
        if (this.big) return BigInt(v)
        if (typeof v === 'bigint') throw new Failure('bad_request', `${path} is ${v}, which a number cannot hold exactly`, { hint: 'declare it t.int64' })
        return v
      case 'array': return v.map((item, i) => this.items.read(item, `${path}[${i}]`))
      case 'object':
        return this.fields ? named(this.fields, v, path) : v
    }
    return v
  }

  // write writes a value of a result, or says why it does not fit.
  write(v, path, depth = 0) {
    const s = this.schema
    if (v === undefined || v === null) {
      if (!s.optional && s.type !== undefined) throw new TypeError(`${path} is ${v}, but not optional`)
      return write(null)
    }
    const wrong = () => new TypeError(`${path}: want ${s.type}, found ${v === null ? 'null' : Array.isArray(v) ? 'an array' : typeof v === 'object' ? 'an object' : `${typeof v} ${String(v).slice(0, 40)}`}`)
    switch (s.type) {
      case 'integer':
        if (typeof v !== 'bigint' && !Number.isSafeInteger(v)) throw wrong()
        return writeInteger(v)
      case 'number':
        if (typeof v !== 'number') throw wrong()
        return writeFloat(v)
      case 'boolean':
        if (typeof v !== 'boolean') throw wrong()
        return write(v)
      case 'string':
        if (s.format === 'bytes' ? !(v instanceof Uint8Array) : typeof v !== 'string' && !(v instanceof Date)) throw wrong()
        return write(v, path)
      case 'array':
        if (!Array.isArray(v)) throw wrong()
        head(4, v.length)
        v.forEach((item, i) => this.items.write(item, `${path}[${i}]`, depth + 1))
        return
      case 'object': {
        if (typeof v !== 'object' || Array.isArray(v)) throw wrong()
        if (!this.fields) return write(v, path, depth)
        const names = Object.keys(this.fields).sort(inOrder)
        head(5, names.length)
        for (const name of names) {
          writeText(name)
          this.fields[name].write(v[name], `${path}.${name}`, depth + 1)
        }
        return
      }
    }
    return write(v, path, depth)
  }
}

// named makes an object of an array that has an item for each field.
function named(fields, list, path) {
  const out = {}
  let i = 0
  for (const name of Object.keys(fields)) out[name] = fields[name].read(list[i++], path ? `${path}.${name}` : name)
  return out
}

function typeOf(t, what) {
  if (t instanceof Type) return t
  if (typeof t === 'function' && t.type instanceof Type) return t.type
  throw new TypeError(`${what} has no type: write t.int, t.text and the like`)
}

// fieldsOf checks an object of types. Names that look like numbers would change
// their place.
function fieldsOf(types, what) {
  if (typeof types !== 'object' || types === null || Array.isArray(types)) throw new TypeError(`${what}: write an object of types, such as { room: t.int }`)
  const fields = {}
  for (const [name, t] of Object.entries(types)) {
    if (/^\d/.test(name) || name === '__proto__') throw new TypeError(`${what}: ${name} cannot be a name`)
    fields[name] = typeOf(t, `${what}: ${name}`)
  }
  return fields
}

const listed = fields => Object.entries(fields).map(([name, t]) => ({ name, schema: t.schema }))

const integer = bits => new Type({ type: 'integer', minimum: new Float(-(2 ** (bits - 1))), maximum: new Float(2 ** (bits - 1) - 1) })
const text = format => new Type(format ? { type: 'string', format } : { type: 'string' })

const t = Object.freeze({
  int: new Type({ type: 'integer' }),
  int64: new Type({ type: 'integer' }, { big: true }),
  int32: integer(32),
  int16: integer(16),
  float: new Type({ type: 'number' }),
  bool: new Type({ type: 'boolean' }),
  text: text(),
  string: text(),
  bytes: text('bytes'),
  uuid: text('uuid'),
  timestamp: text('date-time'),
  date: text('date'),
  decimal: text('decimal'),
  json: text('json'),
  any: new Type({}),
  enum: (...values) => new Type({ type: 'string', enum: values }),
  array: items => {
    items = typeOf(items, 't.array')
    return new Type({ type: 'array', items: items.schema }, { items })
  },
  object: types => {
    const fields = fieldsOf(types, 't.object')
    return new Type({ type: 'object', fields: listed(fields) }, { fields })
  },
  claim: (claim, type = t.text) => {
    if (typeof claim !== 'string' || claim === '') throw new TypeError('t.claim: name the claim, such as t.claim("sub")')
    return typeOf(type, 't.claim').with({}, { source: 'claims', claim })
  },
  scope: (type = t.text) => typeOf(type, 't.scope').with({}, { source: 'scope' }),
  action: new Type({ type: 'string' }, { source: 'action' }),
  function: new Type({ type: 'string' }, { source: 'function' }),
})
