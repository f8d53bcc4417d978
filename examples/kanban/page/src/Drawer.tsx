import { useLive } from "weir/react"

/** Cards that were put away. It asks only while it is open. */
export function Drawer({ board, back }: { board: number; back: (id: string) => void }) {
  const { data, status } = useLive("cards.archived", { board, limit: 50 })
  return (
    <section className="column drawer" aria-label="Archive">
      <h2>Archive<small>{data?.length ?? ""}</small></h2>
      <ol>
        {data?.map((c) => (
          <li key={c.id} className="card away">
            <p>{c.title}</p>
            <footer>
              <time dateTime={c.archived_at}>{new Date(c.archived_at).toLocaleDateString()}</time>
              <button className="plain quiet" onClick={() => back(c.id)}>Put back</button>
            </footer>
          </li>
        ))}
      </ol>
      {data?.length === 0 && <p className="hint">Nothing was put away.</p>}
      {!data && <p className="hint">{status}…</p>}
    </section>
  )
}
