// Hands a client the events of its standard input, one line of JSON for each state:
// { events, content, v }, and fails unless the client then shows that content, at
// that version. content is null where nothing may be shown.
import { createHash } from "node:crypto"
import { createInterface } from "node:readline"
import assert from "node:assert/strict"
import { createClient } from "../weir.js"

let push
let asked = 0
const fetch = async (url, { signal, body }) => {
  asked++
  assert.equal(url, "http://test/v1/stream?delta=1")
  assert.deepEqual(JSON.parse(body).subs.map((s) => s.q), ["rows.list"])
  return new Response(new ReadableStream({
    start(controller) {
      push = (text) => controller.enqueue(new TextEncoder().encode(text))
      signal.addEventListener("abort", () => controller.error(signal.reason))
    },
  }))
}
const client = createClient({ url: "http://test", fetch })
const sub = client.subscribe("rows.list", {}, () => {})
const turn = () => new Promise(setImmediate)
while (!push) await turn()
push(`event: hello\ndata: {"sid":"s","ping_ms":25000,"max_subs":100}\n\n`)

let steps = 0, hashed = 0, kept = 0, columns
for await (const line of createInterface({ input: process.stdin })) {
  const { events, content, v } = JSON.parse(line)
  const before = sub.current
  push(events)
  for (let i = 0; i < 1000 && sub.current === before; i++) await turn()
  const { data, status } = sub.current
  steps++
  if (content === null) {
    assert.deepEqual([status, data], ["denied", undefined])
    continue
  }
  const { key, rows } = JSON.parse(`{${content}}`)
  assert.equal(status, "live", `step ${steps}`)
  assert.deepEqual(data, rows, `step ${steps}`)
  // The version is that of what the client shows, unless JavaScript has other
  // numbers or writes text in another way.
  if (content.endsWith(`"rows":${JSON.stringify(rows)}`)) {
    const shown = `"key":${JSON.stringify(key)},"rows":${JSON.stringify(data)}`
    assert.equal(createHash("sha256").update(shown).digest().subarray(0, 16).toString("base64url"), v)
    hashed++
  }
  const keyOf = (row) => JSON.stringify(key.map((name) => row[name]))
  const old = before.data ?? []
  const unique = (rows) => new Set(rows.map(keyOf)).size === rows.length
  const other = columns !== key.join()
  columns = key.join()
  if (other || !unique(old) || !unique(rows)) continue
  const known = new Map(old.map((row) => [keyOf(row), row]))
  for (const row of data) {
    const was = known.get(keyOf(row))
    if (!was || JSON.stringify(was) !== JSON.stringify(row)) continue
    assert.equal(was, row, "an equal row is the same object")
    kept++
  }
}
assert.equal(asked, 1, "the client fell back")
client.close()
console.log(JSON.stringify({ steps, hashed, kept }))
