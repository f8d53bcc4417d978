import assert from "node:assert/strict"
import { test } from "node:test"
import { parser } from "../weir.js"

const bytes = (text) => new TextEncoder().encode(text)

function parse(...pieces) {
  const events = []
  const push = parser((...event) => events.push(event))
  for (const piece of pieces) push(piece)
  return events
}

const text = "\uFEFF: a comment\r\nretry: 3000\r\n\r\ndata: {\"a\":\"é😀\"}\r\n\r\n" +
  ":\revent: hello\rdata:no space\rdata:  two\r\r" +
  "event: pair\r\ndata: 1\r\ndata: 2\r\n\r\n" +
  "event: nothing\n\nid: v~at\ndata\n\ndata: x\nid: has\0nul\nunknown: y\n: z\n\n" +
  "event: ping\ndata: {}\n\ndata: never ended"
const want = [
  ["message", '{"a":"é😀"}', ""],
  ["hello", "no space\n two", ""],
  ["pair", "1\n2", ""],
  ["message", "", "v~at"],
  ["message", "x", "v~at"],
  ["ping", "{}", "v~at"],
]

test("a stream is read by the rules of the standard", () => {
  assert.deepEqual(parse(bytes(text)), want)
})

test("a stream may be cut at every byte", () => {
  const all = bytes(text)
  for (let i = 0; i <= all.length; i++)
    for (let j = i; j <= all.length; j++)
      assert.deepEqual(parse(all.slice(0, i), all.slice(i, j), all.slice(j)), want, `cut at ${i} and ${j}`)
  assert.deepEqual(parse(...Array.from(all, (_, i) => all.slice(i, i + 1))), want)
})

test("a BOM inside the stream is content", () => {
  assert.deepEqual(parse(bytes("data: \uFEFF\n\n")), [["message", "\uFEFF", ""]])
})
