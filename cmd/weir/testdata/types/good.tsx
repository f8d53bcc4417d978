// What a program may write: all of it compiles.
import { createClient, type ArgsOf, type Client, type QueryName, type ResultOf, type State } from "weir"
import { WeirProvider, useCall, useLive, useWeir } from "weir/react"

const weir: Client = createClient({ url: "https://live.example.com", token: async () => "t", shareTabs: true })

const sub = weir.subscribe("messages.list", { room: 7 }, ({ data, status, error }) => {
  const first: string | undefined = data?.[0]?.author
  const body: string | null | undefined = data?.[0]?.body
  const kind: "text" | "image" | undefined = data?.[0]?.kind
  if (status === "denied") console.log(error?.reason, first, body, kind)
})
const shown: number | undefined = sub.current.data?.length
sub.close()

weir.subscribe("messages.list", { room: 7, author: null, kinds: ["text"], limit: 20, since: "2026-01-31T09:30:00Z" }, () => {})
weir.subscribe("rooms.count", null, (s: State<number>) => s)
weir.subscribe("rooms.count", {}, ({ data }) => data?.toFixed())

const rows: Array<{ id: number }> = await weir.get("messages.list", { room: 7 })
const count: number = await weir.get("rooms.count")
const posted: { id: number } = await weir.call("messages.post", { room: 7, body: "hello" }, {
  optimistic: (l) => l.set("messages.list", { room: 7 }, [
    { id: -1, author: "me", body: "hello", kind: "text", price: "0", photo: null, extra: { any: 1 }, reactions: [] },
    ...(l.get("messages.list", { room: 7 }) ?? []),
  ]),
})
await weir.call("messages.purge")
await weir.call("messages.purge", { "older-than": 3 })
for await (const now of weir.watch("messages.list", { room: 7 }, { signal: AbortSignal.timeout(1000) })) console.log(now?.length)
for await (const n of weir.watch("rooms.count")) console.log((n ?? 0) + 1)

const name: QueryName = "messages.list"
const args: ArgsOf<"messages.list"> = { room: 1 }
type Message = ResultOf<"messages.list">[number]

function Room({ room, initial }: { room?: number; initial?: Message[] }) {
  const { data, status, error } = useLive("messages.list", room ? { room } : "skip", { initial, keep: true })
  const { call, pending } = useCall("messages.post")
  const client: Client = useWeir()
  if (status === "denied") return <p>{error!.message}</p>
  const post = async (body: string) => (await call({ room: room!, body })).id
  return <ul aria-busy={pending} onClick={() => post("x")}>{data?.map((m) => <li key={m.id}>{m.reactions.map((r) => r.user)}</li>)}</ul>
}
export const page = <WeirProvider client={weir}><Room room={1} /></WeirProvider>
export { shown, rows, count, posted, name, args }
