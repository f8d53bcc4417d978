import { useCallback, useDeferredValue, useEffect, useRef, useState } from "react"
import type { CallOptions, MutationName, ArgsOf } from "weir"
import { useLive, useWeir } from "weir/react"
import { above, given, lists, moved, step, type Card, type Filters as Values } from "./cards"
import { CardDialog } from "./CardDialog"
import { Column } from "./Column"
import { Drawer } from "./Drawer"
import { Filters } from "./Filters"

type Props = { me: string; board: number; members: string[] }

export function Board({ me, board, members }: Props) {
  const weir = useWeir()
  const [filters, setFilters] = useState<Values>({})
  const [open, setOpen] = useState<string | null>(null)
  const [drawer, setDrawer] = useState(false)
  const [failure, setFailure] = useState("")
  const text = useDeferredValue(filters.text)
  const args = given(board, { ...filters, text })
  const { data, status, error } = useLive("cards.list", args, { keep: true })
  const cards = data ?? []
  const newest = useRef({ cards, args })
  newest.current = { cards, args }

  /** Calls a mutation and shows its effect at once; what went wrong is told. */
  const run = useCallback(
    async <N extends MutationName>(name: N, args: ArgsOf<N>, optimistic: CallOptions["optimistic"]) => {
      try {
        setFailure("")
        await weir.call(name, args, { optimistic })
      } catch (e) {
        setFailure(e instanceof Error ? e.message : String(e))
      }
    },
    [weir],
  )
  /** Changes the list that is shown, until the server's answer is. */
  const show = useCallback((f: (cards: Card[]) => Card[]): CallOptions["optimistic"] => {
    const { args } = newest.current
    return (local) => {
      const now = local.get("cards.list", args)
      if (now) local.set("cards.list", args, f(now))
    }
  }, [])

  const move = useCallback(
    (id: string, list: string, after: string | null) => {
      const { cards } = newest.current
      const card = cards.find((c) => c.id === id)
      if (!card || after === id || (card.list === list && above(cards, id) === after)) return
      void run("cards.move", { board, id, list, after }, show((c) => moved(c, id, list, after)))
    },
    [board, run, show],
  )
  const add = useCallback(
    (list: string, title: string) => {
      const id = crypto.randomUUID()
      const card: Card = { id, list, title, note: "", label: "", assignee: null }
      void run("cards.add", { board, id, list, title }, show((c) => (c.some((o) => o.id === id) ? c : [...c, card])))
    },
    [board, run, show],
  )
  const edit = (id: string, changes: Partial<Omit<Card, "id" | "list">>) => {
    const sent = { ...changes, ...(changes.assignee === null && { assignee: "" }) }
    void run("cards.edit", { board, id, ...sent }, show((c) => c.map((o) => (o.id === id ? { ...o, ...changes } : o))))
  }
  const archive = (id: string, away: boolean) => {
    void run("cards.archive", { board, id, away }, show((c) => (away ? c.filter((o) => o.id !== id) : c)))
  }
  const press = useCallback(
    (id: string, key: string) => {
      const to = step(newest.current.cards, id, key)
      if (to) move(id, to.list, to.after)
    },
    [move],
  )

  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      if (e.target instanceof HTMLInputElement || e.target instanceof HTMLTextAreaElement || e.ctrlKey || e.metaKey || e.altKey) return
      const to = { "/": ".filters input", n: ".column .add" }[e.key]
      const element = to && document.querySelector<HTMLElement>(to)
      if (element) {
        e.preventDefault()
        element.click()
        element.focus()
      }
    }
    addEventListener("keydown", keys)
    return () => removeEventListener("keydown", keys)
  }, [])

  if (status === "denied") {
    return <p className="empty lock" role="alert"><b>This board is not yours.</b>It comes back by itself when somebody adds you.</p>
  }
  const shown = open !== null && cards.find((c) => c.id === open)
  return (
    <main data-status={status}>
      <div className="bar">
        <Filters members={members} value={filters} change={setFilters} />
        <p className="status" role="status" data-status={status}><i />{status === "live" ? "live" : error?.message ?? status}</p>
        <button className="plain quiet" onClick={() => setDrawer(!drawer)} aria-expanded={drawer}>Archive</button>
      </div>
      <div className="columns">
        {lists.map((l) => (
          <Column key={l.id} list={l.id} name={l.name} cards={cards.filter((c) => c.list === l.id)} move={move} add={add} open={setOpen} press={press} />
        ))}
        {drawer && <Drawer board={board} back={(id) => archive(id, false)} />}
      </div>
      {shown && (
        <CardDialog key={shown.id} card={shown} members={members.length ? members : [me]} edit={(c) => edit(shown.id, c)}
          archive={() => { setOpen(null); archive(shown.id, true) }} close={() => setOpen(null)} />
      )}
      {failure && <p className="toast" role="alert" onClick={() => setFailure("")}>{failure}</p>}
    </main>
  )
}
