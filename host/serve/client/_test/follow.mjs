// Follows one query of a real server and prints each state as a line of JSON.
// A line on standard input that says "call" runs a mutation; the end of it ends.
import { createInterface } from "node:readline"
import { createClient } from "../weir.js"

const print = (line) => console.log(JSON.stringify(line))
const client = createClient({ url: process.env.WEIR_URL, token: process.env.WEIR_TOKEN })
client.subscribe("messages.list", { room: 7 }, ({ data, status, error }) => print({ status, ids: data?.map((r) => r.id), code: error?.code, reason: error?.reason }))
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "call") await client.call("messages.post", { room: 7 }).then((result) => print({ result }), (e) => print({ code: e.code }))
  if (line === "get") await client.get("messages.list", { room: 7 }).then((rows) => print({ rows }), (e) => print({ code: e.code }))
}
client.close()
