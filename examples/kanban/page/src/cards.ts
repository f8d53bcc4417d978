// What the server will do to the cards, done here first. These functions make new
// lists and leave cards that do not change as they are.
import type { ResultOf } from "weir"

export type Card = ResultOf<"cards.list">[number]
export type Filters = { assignee?: string; label?: string; text?: string }

export const lists = [
  { id: "todo", name: "To do" },
  { id: "doing", name: "Doing" },
  { id: "review", name: "Review" },
  { id: "done", name: "Done" },
]
export const labels = ["bug", "idea", "chore"]

/** The cards with one put into a list behind another, or on top. */
export function moved(cards: Card[], id: string, list: string, after: string | null): Card[] {
  const card = cards.find((c) => c.id === id)
  if (!card || id === after) return cards
  const rest = cards.filter((c) => c.id !== id)
  const above = rest.findIndex((c) => c.id === after && c.list === list)
  const at = above >= 0 ? above + 1 : rest.findIndex((c) => c.list === list)
  rest.splice(at < 0 ? rest.length : at, 0, { ...card, list })
  return rest
}

/** The card above which one lies in its list; null for the top. */
export function above(cards: Card[], id: string): string | null {
  const list = cards.filter((c) => c.list === cards.find((c) => c.id === id)?.list)
  return list[list.findIndex((c) => c.id === id) - 1]?.id ?? null
}

/** Where an arrow key takes a card: a list and the card above, or null. */
export function step(cards: Card[], id: string, key: string): { list: string; after: string | null } | null {
  const card = cards.find((c) => c.id === id)
  if (!card) return null
  const column = cards.filter((c) => c.list === card.list)
  const at = column.indexOf(card)
  const side = lists.findIndex((l) => l.id === card.list) + (key === "ArrowRight" ? 1 : -1)
  switch (key) {
    case "ArrowUp":
      return at > 0 ? { list: card.list, after: column[at - 2]?.id ?? null } : null
    case "ArrowDown":
      return at < column.length - 1 ? { list: card.list, after: column[at + 1]!.id } : null
    case "ArrowLeft":
    case "ArrowRight": {
      const list = lists[side]
      return list ? { list: list.id, after: cards.filter((c) => c.list === list.id)[at - 1]?.id ?? null } : null
    }
  }
  return null
}

/** Filters without those that are not set: absent is all. */
export function given(board: number, f: Filters) {
  return {
    board,
    ...(f.assignee && { assignee: f.assignee }),
    ...(f.label && { label: f.label }),
    ...(f.text?.trim() && { text: f.text.trim() }),
  }
}
