import { memo, useState } from "react"
import type { Card } from "./cards"
import { Face } from "./Face"

type Props = {
  list: string
  name: string
  cards: Card[]
  move: (id: string, list: string, after: string | null) => void
  add: (list: string, title: string) => void
  open: (id: string) => void
  press: (id: string, key: string) => void
}

const type = "application/x-card"

export function Column({ list, name, cards, move, add, open, press }: Props) {
  // Where a card would land: behind this one, null for the top, undefined if none is held here.
  const [after, setAfter] = useState<string | null | undefined>()
  const [writing, setWriting] = useState(false)

  const over = (e: React.DragEvent) => {
    if (!e.dataTransfer.types.includes(type)) return
    e.preventDefault()
    let found: string | null = null
    for (const card of e.currentTarget.querySelectorAll<HTMLElement>(".card")) {
      const box = card.getBoundingClientRect()
      if (e.clientY < box.top + box.height / 2) break
      found = card.dataset.id!
    }
    setAfter(found)
  }
  const drop = (e: React.DragEvent) => {
    e.preventDefault()
    setAfter(undefined)
    const id = e.dataTransfer.getData(type)
    if (id && id !== after) move(id, list, after ?? null)
  }
  return (
    <section
      className="column" aria-label={name} data-list={list} onDragOver={over} onDrop={drop}
      onDragLeave={(e) => e.currentTarget.contains(e.relatedTarget as Node) || setAfter(undefined)}
    >
      <h2>{name}<small>{cards.length}</small></h2>
      <ol>
        {after === null && <li className="gap" />}
        {cards.map((c) => (
          <li key={c.id}>
            <CardFace card={c} open={open} press={press} />
            {after === c.id && <div className="gap" />}
          </li>
        ))}
      </ol>
      {writing ? (
        <form
          onSubmit={(e) => {
            e.preventDefault()
            const input = e.currentTarget.elements.namedItem("title") as HTMLInputElement
            if (input.value.trim()) add(list, input.value.trim())
            input.value = ""
          }}
        >
          <input name="title" autoFocus maxLength={200} placeholder="What is to be done?" aria-label={`New card in ${name}`}
            onBlur={() => setWriting(false)} onKeyDown={(e) => e.key === "Escape" && setWriting(false)} />
        </form>
      ) : (
        <button className="add" onClick={() => setWriting(true)}>+ Add a card</button>
      )}
    </section>
  )
}

// A row that did not change is the same object: its card is not drawn again.
const CardFace = memo(function CardFace({ card, open, press }: { card: Card } & Pick<Props, "open" | "press">) {
  const [held, setHeld] = useState(false)
  return (
    <article
      className={held ? "card held" : "card"} data-id={card.id} draggable tabIndex={0} role="button" aria-label={card.title}
      aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown Alt+ArrowLeft Alt+ArrowRight"
      onDragStart={(e) => {
        e.dataTransfer.setData(type, card.id)
        e.dataTransfer.effectAllowed = "move"
        setHeld(true)
      }}
      onDragEnd={() => setHeld(false)}
      onClick={() => open(card.id)}
      onKeyDown={(e) => {
        if (e.key === "Enter") open(card.id)
        if (e.altKey && e.key.startsWith("Arrow")) {
          e.preventDefault()
          press(card.id, e.key)
        }
      }}
    >
      <p>{card.title}</p>
      {(card.label || card.note || card.assignee) && (
        <footer>
          {card.label && <span className={"label " + card.label}>{card.label}</span>}
          {card.note && <span className="note" title={card.note}>≡</span>}
          {card.assignee && <Face user={card.assignee} />}
        </footer>
      )}
    </article>
  )
})
