// The host's functions, in the order of the adapter's table. Addresses are
// offsets into one buffer, which the adapter makes larger on demand.
const [hostQuery, hostQuerySQL, hostExec, hostAffected, hostLen, hostRead, hostColumns, hostPick, hostProject, hostNest, hostClose, hostNow,
  hostWakeAt, hostRandom, hostLog, hostConfig, hostError, textAt, put, inputBuffer, outputBuffer, evaluate, runJobs, trap] = host

let bytes, view, at = 0 // the buffer, and where the next item is written

function grow(size) {
  const buffer = outputBuffer(size)
  bytes = new Uint8Array(buffer)
  view = new DataView(buffer)
}
grow(0)

function need(n) {
  if (at + n > bytes.length) grow(Math.max(at + n, 2 * bytes.length))
}

// putText writes text with a zero behind it, and returns its length.
function putText(text, where) {
  text = text.toWellFormed()
  for (;;) {
    const n = put(text, where, bytes.length - where - 1)
    if (where + n < bytes.length) {
      bytes[where + n] = 0
      return n
    }
    grow(where + n + 1)
  }
}

// CBOR: what is written is core deterministic, as the contract asks of the host.

function head(major, n) {
  need(9)
  major <<= 5
  if (n < 24) bytes[at++] = major | Number(n)
  else if (n < 0x100) { bytes[at++] = major | 24; bytes[at++] = Number(n) }
  else if (n < 0x10000) { bytes[at++] = major | 25; view.setUint16(at, Number(n)); at += 2 }
  else if (n < 0x100000000) { bytes[at++] = major | 26; view.setUint32(at, Number(n)); at += 4 }
  else { bytes[at++] = major | 27; view.setBigUint64(at, BigInt(n)); at += 8 }
}

function writeText(text) {
  const from = at
  const n = putText(text, from + 9)
  head(3, n)
  bytes.copyWithin(at, from + 9, from + 9 + n)
  at += n
}

function writeInteger(n) {
  if (typeof n === 'bigint' && (n < -(1n << 63n) || n >= 1n << 64n)) throw new RangeError(`${n} does not fit 64 bits`)
  if (n < 0) head(1, typeof n === 'bigint' ? -1n - n : -1 - n)
  else head(0, n)
}

function writeFloat(n) {
  if (!Number.isFinite(n)) return writeText(String(n))
  need(9)
  const half = halfOf(n)
  if (half !== undefined) {
    bytes[at] = 0xf9
    view.setUint16(at + 1, half)
    at += 3
  } else if (Object.is(Math.fround(n), n)) {
    bytes[at] = 0xfa
    view.setFloat32(at + 1, n)
    at += 5
  } else {
    bytes[at] = 0xfb
    view.setFloat64(at + 1, n)
    at += 9
  }
}

// halfOf returns the 16 bits of a number that they hold exactly.
function halfOf(n) {
  const sign = n < 0 || Object.is(n, -0) ? 0x8000 : 0
  const size = Math.abs(n)
  if (size === 0) return sign
  if (size > 65504) return undefined
  if (size < 2 ** -14) {
    const fraction = size * 2 ** 24
    return Number.isInteger(fraction) ? sign | fraction : undefined
  }
  let e = Math.floor(Math.log2(size))
  if (2 ** e > size) e-- // the logarithm is not exact
  if (2 ** (e + 1) <= size) e++
  const fraction = (size / 2 ** e - 1) * 1024
  return Number.isInteger(fraction) ? sign | e + 15 << 10 | fraction : undefined
}

function writeBytes(b) {
  head(2, b.length)
  need(b.length)
  bytes.set(b, at)
  at += b.length
}

const ascii = /^[\x00-\x7f]*$/

// inOrder compares keys as deterministic CBOR does: by the length of their UTF-8,
// then by its bytes.
function inOrder(a, b) {
  if (ascii.test(a) && ascii.test(b)) return a.length - b.length || (a < b ? -1 : 1)
  const x = utf8Length(a), y = utf8Length(b)
  if (x !== y) return x - y
  const p = [...a], q = [...b] // UTF-16 and UTF-8 do not agree about order, code points do
  for (let i = 0; i < p.length; i++) {
    if (p[i] !== q[i]) return p[i].codePointAt(0) - q[i].codePointAt(0)
  }
  return 0
}

function utf8Length(s) {
  let n = 0
  for (const c of s) {
    const p = c.codePointAt(0)
    n += p < 0x80 ? 1 : p < 0x800 ? 2 : p < 0x10000 ? 3 : 4
  }
  return n
}

// Float is a number that is written as a float even if it is whole.
class Float {
  constructor(n) { this.n = n }
}

const maxDepth = 32

// write writes any value: null for undefined, integers for whole numbers.
function write(v, path = 'the result', depth = 0) {
  if (depth > maxDepth) throw new RangeError(`${path} is nested deeper than ${maxDepth}, or contains itself`)
  switch (typeof v) {
    case 'undefined': need(1); bytes[at++] = 0xf6; return
    case 'boolean': need(1); bytes[at++] = v ? 0xf5 : 0xf4; return
    case 'string': return writeText(v)
    case 'bigint': return writeInteger(v)
    case 'number':
      return Number.isSafeInteger(v) && !Object.is(v, -0) ? writeInteger(v) : writeFloat(v)
    case 'object': break
    default: throw new TypeError(`${path} is a ${typeof v}, which cannot be sent`)
  }
  if (v === null) { need(1); bytes[at++] = 0xf6; return }
  if (v instanceof Float) return writeFloat(v.n)
  if (v instanceof Date) return writeText(timeText(v, path))
  if (v instanceof Uint8Array) return writeBytes(v)
  if (v instanceof Rows) throw new TypeError(`${path} is rows inside a value: read them with .all()`)
  if (v instanceof Promise) throw new TypeError(`${path} is a promise: await it`)
  if (Array.isArray(v)) {
    head(4, v.length)
    for (let i = 0; i < v.length; i++) write(v[i], `${path}[${i}]`, depth + 1)
    return
  }
  if (typeof v.toJSON === 'function') return write(v.toJSON(), path, depth + 1)
  const keys = (v instanceof Map ? [...v.keys()] : Object.keys(v).filter(k => v[k] !== undefined)).sort(inOrder)
  head(5, keys.length)
  for (const k of keys) {
    if (typeof k !== 'string') throw new TypeError(`${path} has a key that is no string`)
    writeText(k)
    write(v instanceof Map ? v.get(k) : v[k], `${path}.${k}`, depth + 1)
  }
}

function timeText(date, path) {
  if (Number.isNaN(date.getTime())) throw new RangeError(`${path} is an invalid date`)
  return date.toISOString()
}

let inputBytes = new Uint8Array(0), inputView // what the host wrote

// Reader reads items from the buffer, or from the host's input.
class Reader {
  constructor(input, end) {
    this.input = input
    const fresh = input && inputBuffer(inputBytes.length)
    if (fresh) {
      inputBytes = new Uint8Array(fresh)
      inputView = new DataView(fresh)
    }
    this.bytes = input ? inputBytes : bytes
    this.view = input ? inputView : view
    this.at = 0
    this.end = end
  }

  // size reads what follows the first byte of an item, a bigint if it is large.
  size(first) {
    const low = first & 31
    if (low < 24) return low
    const from = this.at
    switch (low) {
      case 24: this.at += 1; return this.bytes[from]
      case 25: this.at += 2; return this.view.getUint16(from)
      case 26: this.at += 4; return this.view.getUint32(from)
      case 27: {
        this.at += 8
        const n = this.view.getBigUint64(from)
        return n <= Number.MAX_SAFE_INTEGER ? Number(n) : n
      }
    }
    throw new Error('the host sent an item that is not known')
  }

  // item reads any item. Integers are numbers when those hold them, else bigints.
  item() {
    const first = this.bytes[this.at++]
    switch (first >> 5) {
      case 0: return this.size(first)
      case 1: {
        const n = this.size(first)
        return typeof n === 'bigint' || n === Number.MAX_SAFE_INTEGER ? -1n - BigInt(n) : -1 - n
      }
      case 2: {
        const n = this.size(first)
        this.at += n
        return this.bytes.slice(this.at - n, this.at)
      }
      case 3: {
        const n = this.size(first)
        this.at += n
        return textAt(this.input ? 1 : 0, this.at - n, n)
      }
      case 4: {
        const list = new Array(this.size(first))
        for (let i = 0; i < list.length; i++) list[i] = this.item()
        return list
      }
      case 5: {
        const map = {}
        for (let n = this.size(first); n > 0; n--) {
          const value = { value: undefined, writable: true, enumerable: true, configurable: true }
          const key = this.item()
          value.value = this.item()
          Object.defineProperty(map, key, value)
        }
        return map
      }
    }
    switch (first) {
      case 0xf4: return false
      case 0xf5: return true
      case 0xf6: return null
      case 0xf9: return halfFloat(this.size(first))
      case 0xfa: this.at += 4; return this.view.getFloat32(this.at - 4)
      case 0xfb: this.at += 8; return this.view.getFloat64(this.at - 8)
    }
    throw new Error('the host sent an item that is not known')
  }
}

function halfFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24)
}
