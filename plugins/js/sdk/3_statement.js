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

// writeArguments writes what a statement takes, by name.
function writeArguments({ sql, params }, args = {}) {
  head(4, params.size)
  for (const [name, required] of params) {
    if (required && !(name in args)) {
      throw new TypeError(`${title(sql)} uses $${name}, but is not given it (${Object.keys(args).join(', ') || 'nothing'})`)
    }
    write(args[name], `$${name}`)
  }
}

// Nest is what nest returns: rows inside rows.
class Nest {
  constructor(name, on, rows, column) {
    for (const [what, text] of Object.entries({ name, on, column })) {
      if (typeof text !== 'string' || text === '') throw new TypeError(`nest: ${what} is a text: write nest("members", "id", members, "room_id")`)
    }
    if (!(rows instanceof Statement) || rows.writes) throw new TypeError(`nest ${name}: the rows are those of a select: write nest("${name}", "${on}", a select, "${column}")`)
    Object.assign(this, { name, on, statement: rows, column })
    Object.freeze(this)
  }
}

// nests reads the option nest: one, a list, or an object by name.
function nests(option, what) {
  if (option instanceof Nest) return [option]
  if (typeof option !== 'object' || option === null) throw new TypeError(`${what}: nest takes what nest() returns, or a list of them`)
  const list = Array.isArray(option) ? option : Object.entries(option).map(([name, n]) => {
    if (!n || typeof n !== 'object') throw new TypeError(`${what}: nest.${name} is { rows: a select, on: its key here, column: the same there }`)
    return new Nest(name, n.on, n.rows, n.column)
  })
  for (const n of list) if (!(n instanceof Nest)) throw new TypeError(`${what}: nest takes what nest() returns, or a list of them`)
  return list
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
    this.nest = nests(options.nest ?? [], title(sql))
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
  open(args) {
    running(title(this.sql))
    at = 0
    writeArguments(this, args)
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

// querySQL asks for the rows of SQL that is made up in the call, as a select does
// for what is declared.
function querySQL(sql, args, options = {}) {
  if (typeof sql !== 'string') throw new TypeError('querySQL: the first argument is the SQL, a text')
  running('querySQL')
  if (!capabilities.includes(dynamicSQL)) {
    throw new Error(`querySQL needs the capability ${dynamicSQL}: write plugin("${pluginName}", "${pluginVersion}", { capabilities: ["${dynamicSQL}"] }) at the top of the file`)
  }
  checkOptions(options, ['row'], title(sql))
  const made = { sql, params: parameters(sql), nest: [], row: fieldsOf(options.row ?? {}, `${title(sql)}: row`) }
  const n = putText(sql, 0)
  at = n
  writeArguments(made, args)
  return new Rows(done(hostQuerySQL(0, n, n, at - n), made), made)
}

// Rows are still at the host. A function that returns them never reads them.
class Rows {
  // whole is where the names of all columns are known, or to be asked for; chosen
  // are the columns of these rows among them, undefined for all.
  constructor(handle, statement, whole = { handle }, chosen) {
    this.handle = handle
    this.statement = statement
    this.whole = whole
    this.chosen = chosen
    Object.freeze(this)
  }

  shaped(handle, chosen = this.chosen) { return new Rows(done(handle, this.statement), this.statement, this.whole, chosen) }

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
    const n = putNumbers(indexes, 'pick')
    return this.shaped(hostPick(this.handle, 0, n))
  }

  // project returns the rows with these columns only, unread. A name makes the host
  // run the statement now, a number does not.
  project(columns) {
    if (!Array.isArray(columns)) throw new TypeError('project takes a list of columns')
    const places = columns.map(c => this.place(c))
    const n = putNumbers(places, 'project')
    return this.shaped(hostProject(this.handle, 0, n), places.map(i => this.chosen ? this.chosen[i] : i))
  }

  // nest returns the rows with those of child in each, under a name, where the
  // child's column equals on. Clients get them; who reads the rows does not.
  nest(name, on, child, column) {
    if (typeof name !== 'string' || !(child instanceof Rows)) throw new TypeError('nest: write rows.nest("members", "id", other rows, "room_id")')
    const here = this.place(on), there = child.place(column)
    const n = putText(name, 0)
    return this.shaped(hostNest(this.handle, 0, n, child.handle, here, there))
  }

  // close gives the rows up: a call may hold only so many.
  close() { done(hostClose(this.handle), this.statement) }

  // place is where a column is in these rows.
  place(column) {
    if (typeof column === 'number') return column
    this.whole.names ??= [...this.names(this.chosen ? this.whole.handle : this.handle), ...this.statement.nest.map(n => n.name)]
    const { names } = this.whole
    const chosen = this.chosen ?? names.map((_, i) => i)
    const place = chosen.findIndex(i => names[i] === column)
    if (place < 0) throw new TypeError(`${title(this.statement.sql)} has no column ${String(column)}: there is ${chosen.map(i => names[i]).join(', ')}`)
    return place
  }

  * [Symbol.iterator]() {
    const n = this.length
    if (n === 0) return
    const columns = this.names(this.handle).map(name => [name, this.statement.row[name]])
    for (let i = 0; i < n;) {
      const page = this.page(i, columns)
      i += page.length
      yield* page
    }
  }

  // names asks for the columns of a handle that can be read.
  names(handle) {
    let size = done(hostColumns(handle, 0, bytes.length), this.statement)
    if (size > bytes.length) {
      grow(size)
      size = done(hostColumns(handle, 0, bytes.length), this.statement)
    }
    return new Reader(false, size).item()
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

// putNumbers writes a list of indexes, and returns how many.
function putNumbers(list, what) {
  at = 0
  need(4 * list.length)
  list.forEach((n, i) => {
    if (!Number.isInteger(n) || n < 0 || n >= 2 ** 32) throw new TypeError(`${what}: ${String(n)} is no index`)
    view.setUint32(4 * i, n, true)
  })
  return list.length
}
