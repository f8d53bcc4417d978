// What a program may not write: each line below a mark is an error.
import { createClient } from "weir"
import { useCall, useLive } from "weir/react"

const weir = createClient()

// wrong: no such function
weir.subscribe("messages.lst", { room: 7 }, () => {})
// wrong: a misspelt argument
weir.subscribe("messages.list", { rom: 7 }, () => {})
// wrong: an argument of another type
weir.subscribe("messages.list", { room: "7" }, () => {})
// wrong: an argument more
weir.subscribe("messages.list", { room: 7, colour: "red" }, () => {})
// wrong: a required argument is missing
await weir.get("messages.list", {})
// wrong: all arguments are missing
await weir.get("messages.list")
// wrong: an argument for a function without
await weir.get("rooms.count", { room: 7 })
// wrong: a value that is not in the list
await weir.get("messages.list", { room: 7, kinds: ["video"] })
// wrong: a mutation is not watched
weir.subscribe("messages.post", { room: 7, body: "x" }, () => {})
// wrong: a query is not called
await weir.call("messages.list", { room: 7 })
// wrong: a column that is not there
weir.subscribe("messages.list", { room: 7 }, ({ data }) => data?.[0]?.text)
// wrong: a column of another type
weir.subscribe("messages.list", { room: 7 }, ({ data }) => data?.[0]?.author.toFixed())
// wrong: a column that may be null
weir.subscribe("messages.list", { room: 7 }, ({ data }) => data?.[0]?.body.length)
// wrong: rows that may not be there
weir.subscribe("messages.list", { room: 7 }, ({ data }) => data.length)
// wrong: a result of another type
const id: string = await weir.call("messages.post", { room: 7, body: "x" })
// wrong: an optimistic row without its columns
await weir.call("messages.post", { room: 7, body: "x" }, { optimistic: (l) => l.set("messages.list", { room: 7 }, [{ id: 1 }]) })
// wrong: access may be taken away
for await (const rows of weir.watch("messages.list", { room: 7 })) console.log(rows.length)
// wrong: a status that does not exist
weir.subscribe("rooms.count", {}, ({ status }) => status === "loading")

export function Room() {
  // wrong: a hook with a misspelt argument
  const { data } = useLive("messages.list", { rooom: 1 })
  // wrong: a hook's column that is not there
  const texts = useLive("messages.list", { room: 1 }).data?.map((m) => m.text)
  // wrong: a hook's mutation without its arguments
  useCall("messages.post").call()
  // wrong: a hook that calls a query
  useCall("rooms.count")
  return [data, texts, id]
}
