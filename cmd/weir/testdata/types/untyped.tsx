// Without the file of weir types every name is taken, and results are any.
import { createClient } from "weir"
import { useCall, useLive } from "weir/react"

const weir = createClient()
weir.subscribe("anything", { room: 7 }, ({ data, status }) => console.log(data.rows[0].body, status))
weir.subscribe<Array<{ id: number }>>("anything", null, ({ data }) => data?.[0]?.id.toFixed())
const rows = await weir.get<string[]>("anything")
await weir.call("anything.else", { a: 1 }, { optimistic: (l) => l.set("anything", { room: 7 }, []) })
for await (const row of weir.watch<number>("anything")) console.log(row?.toFixed())
export function Page() {
  const { data } = useLive<string[]>("anything", "skip")
  const { call } = useCall("anything.else")
  return <p onClick={() => call({ a: 1 })}>{data?.map((s) => s.length)}{rows}</p>
}
