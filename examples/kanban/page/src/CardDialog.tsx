import { useEffect, useRef, useState } from "react"
import { labels, type Card } from "./cards"
import { Face } from "./Face"

type Props = {
  card: Card
  members: string[]
  edit: (changes: Partial<Omit<Card, "id" | "list">>) => void
  archive: () => void
  close: () => void
}

/** One card, to be changed. Label and person are changed at once; texts when they
 * are left. What another person changes meanwhile is shown where nobody writes. */
export function CardDialog({ card, members, edit, archive, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} onClose={close} onClick={(e) => e.target === dialog.current && dialog.current.close()} aria-label={card.title}>
      <div className="sheet">
        <Text name="title" value={card.title} save={(title) => title.trim() && edit({ title: title.trim() })} />
        <Text name="note" value={card.note} placeholder="Add a note…" rows={6} save={(note) => edit({ note })} />
        <div className="row">
          {labels.map((l) => (
            <button key={l} className={"label " + l} aria-pressed={card.label === l} onClick={() => edit({ label: card.label === l ? "" : l })}>{l}</button>
          ))}
          <span className="spring" />
          {members.map((m) => (
            <button key={m} className="plain" aria-pressed={card.assignee === m} aria-label={`Give to ${m}`}
              onClick={() => edit({ assignee: card.assignee === m ? null : m })}><Face user={m} /></button>
          ))}
        </div>
        <div className="row">
          <button className="plain quiet" onClick={archive}>Archive</button>
          <span className="spring" />
          <button onClick={() => dialog.current?.close()}>Done</button>
        </div>
      </div>
    </dialog>
  )
}

function Text({ name, value, save, ...more }: { name: string; value: string; save: (v: string) => void; placeholder?: string; rows?: number }) {
  const [draft, setDraft] = useState<string>()
  const done = () => {
    if (draft !== undefined && draft !== value) save(draft)
    setDraft(undefined)
  }
  return (
    <textarea
      className={name} aria-label={name} rows={1} maxLength={name === "title" ? 200 : 4000} {...more} value={draft ?? value}
      onChange={(e) => setDraft(name === "title" ? e.target.value.replace(/\n/g, " ") : e.target.value)}
      onBlur={done}
      onKeyDown={(e) => e.key === "Enter" && (name === "title" || e.ctrlKey || e.metaKey) && (e.preventDefault(), e.currentTarget.blur())}
    />
  )
}
