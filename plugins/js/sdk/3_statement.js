// Statements and their rows.

// Failure is what fail throws: the client sees it.
class Failure extends Error {
  constructor(code, message, more) {
    super(message)
    this.name = 'Failure'
    this.code = code
    Object.assign(this, more)
  }
}

// HostError is a refusal by the host. Its code is sql_error when PostgreSQL said
// no.
class HostError extends Error {
  constructor(errno, text) {
    super(text)
    this.name = 'HostError'
    this.errno = errno
    this.code = errno === 7 ? 'sql_error' : 'internal'
  }
}

// done returns a result of the host's, or throws the errno that it is.
function done(n, statement) {
  if (n >= 0) return n
  const size = hostError(0, 1024)
  const said = size > 0 && size <= 1024 ? textAt(0, 0, size) : `errno ${-n}`
  throw new HostError(-n, statement ? `${title(statement.sql)}: ${said}` : said)
}

function title(sql) {
  const words = sql.trim().split(/\s+/).join(' ')
  return '`' + (words.length > 60 ? words.slice(0, 57) + '...' : words) + '`'
}

// parameters returns the $names of a statement in the order of their first use,
// and for each whether it stands outside of fragments. The host checks the text.
function parameters(sql) {
  const names = new Map()
  const token = /[eE]'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n\r]*|\/\*|\$(?:[a-zA-Z_\x80-\uffff][\w\x80-\uffff]*)?\$|\$\w+|[a-zA-Z_\x80-\uffff][\w$\x80-\uffff]*|\d[\w.\x80-\uffff]*|[{}]/g
  let inside = false
  for (let m; (m = token.exec(sql));) {
    const [word] = m
    if (word === '{' || word === '}') inside = word === '{'
    else if (word === '/*') token.lastIndex = afterComment(sql, m.index)
    else if (word[0] !== '$') continue
    else if (word.endsWith('$')) {
      const end = sql.indexOf(word, token.lastIndex)
      token.lastIndex = end < 0 ? sql.length : end + word.length
    } else if (word !== '$now') {
      const name = word.slice(1)
      names.set(name, names.get(name) || !inside)
    }
  }
  return names
}

// afterComment returns where a comment ends; PostgreSQL's nest.
function afterComment(sql, from) {
  const mark = /\/\*|\*\//g
  mark.lastIndex = from
  for (let depth = 0, m; (m = mark.exec(sql));) {
    depth += m[0] === '/*' ? 1 : -1
    if (depth === 0) return mark.lastIndex
  }
  return sql.length
}

class Statement {
  constructor(sql, options, writes) {
    if (typeof sql !== 'string') throw new TypeError(`${writes ? 'exec' : 'select'}: the first argument is the SQL, a text`)
    checkOptions(options, ['key', 'nest', 'row'], title(sql))
    if (sealed) throw new Error(`${title(sql)} is declared during a call: declare statements at the top of the file`)
    this.sql = sql
    this.writes = writes
    this.params = parameters(sql)
    this.key = options.key === undefined ? [] : [options.key].flat()
    this.nest = Object.entries(options.nest ?? {}).map(([name, n]) => {
      if (!(n?.rows instanceof Statement)) throw new TypeError(`${title(sql)}: nest.${name} is { rows: a select, on: its key here, column: the same there }`)
      return { name, on: n.on, statement: n.rows, column: n.column }
    })
    this.row = fieldsOf(options.row ?? {}, `${title(sql)}: row`)
    this.index = statements.length
    statements.push(this)
  }

  describe() {
    const out = { sql: this.sql }
    if (this.key.length) out.key = this.key
    if (this.nest.length) out.nest = this.nest.map(n => ({ ...n, statement: n.statement.index }))
    return out
  }

  // open hands the statement to the host.
  open(args = {}) {
    if (!calling) throw new Error(`${title(this.sql)} works only while a function runs`)
    at = 0
    head(4, this.params.size)
    for (const [name, required] of this.params) {
      if (required && !(name in args)) {
        throw new TypeError(`${title(this.sql)} uses $${name}, but is not given it (${Object.keys(args).join(', ') || 'nothing'})`)
      }
      write(args[name], `$${name}`)
    }
    const handle = (this.writes ? hostExec : hostQuery)(this.index, 0, at)
    return new Rows(done(handle, this), this)
  }

  // rows asks for the rows and reads none.
  rows(args) { return this.open(args) }
  // all returns all rows.
  all(args) { return this.open(args).all() }
  // one returns the only row, or throws.
  one(args) { return this.open(args).one() }
  // first returns the first row, undefined if there is none.
  first(args) { return this.open(args).first() }
}

class Command extends Statement {
  // run returns how many rows it touched.
  run(args) { return done(hostAffected(this.open(args).handle), this) }
}

// Rows are still at the host. A function that returns them never reads them.
class Rows {
  constructor(handle, statement) {
    this.handle = handle
    this.statement = statement
    Object.freeze(this)
  }

  get length() { return done(hostLen(this.handle), this.statement) }

  all() { return [...this] }

  one() {
    const n = this.length
    if (n !== 1) throw new Error(`${title(this.statement.sql)} has ${n} rows, but one is wanted`)
    return this.first()
  }

  first() {
    for (const row of this) return row
  }

  // pick returns the rows with these indexes, unread.
  pick(indexes) {
    at = 0
    need(4 * indexes.length)
    indexes.forEach((n, i) => view.setUint32(4 * i, n, true))
    return new Rows(done(hostPick(this.handle, 0, indexes.length), this.statement), this.statement)
  }

  * [Symbol.iterator]() {
    const n = this.length
    if (n === 0) return
    const columns = this.columns()
    for (let i = 0; i < n;) {
      const page = this.page(i, columns)
      i += page.length
      yield* page
    }
  }

  columns() {
    let size = done(hostColumns(this.handle, 0, bytes.length), this.statement)
    if (size > bytes.length) {
      grow(size)
      size = done(hostColumns(this.handle, 0, bytes.length), this.statement)
    }
    return new Reader(false, size).item().map(name => [name, this.statement.row[name]])
  }

  // page reads the rows from a row on that fit the buffer.
  page(from, columns) {
    let size = hostRead(this.handle, from, 0, bytes.length)
    if (-size > bytes.length) {
      grow(-size)
      size = hostRead(this.handle, from, 0, bytes.length)
    }
    const reader = new Reader(false, done(size, this.statement))
    const page = []
    while (reader.at < reader.end) {
      const values = reader.item(), row = {}
      for (let i = 0; i < columns.length; i++) {
        const [name, type] = columns[i]
        row[name] = type && values[i] !== null ? type.read(values[i], name) : values[i]
      }
      page.push(row)
    }
    if (page.length === 0) throw new Error('the host gave fewer rows than it promised')
    return page
  }
}
