// Written by weir types: do not edit, write it again.

export {}

declare module "weir" {
  interface Functions {
    /** The caller's boards and who is on them. */
    "boards.list": {
      kind: "query"
      args: { [name: string]: never }
      result: Array<{
        id: number
        name: string
        members: Array<{
          board_id: number
          user: string
        }>
      }>
    }
    /** A new card at the end of a list. */
    "cards.add": {
      kind: "mutation"
      args: {
        board: number
        /** new, from crypto.randomUUID(); uuid */
        id: string
        list: string
        /** at most 200 characters */
        title: string
      }
      result: unknown
    }
    /** Puts a card away, or back. */
    "cards.archive": {
      kind: "mutation"
      args: {
        board: number
        /** uuid */
        id: string
        /** default true */
        away?: boolean | null
      }
      result: unknown
    }
    /** The newest cards that were put away. */
    "cards.archived": {
      kind: "query"
      args: {
        board: number
        /** 1 to 200; default 50 */
        limit?: number | null
      }
      result: Array<{
        /** uuid */
        id: string
        title: string
        list: string
        /** date-time */
        archived_at: string
      }>
    }
    /** Changes what is given of a card. */
    "cards.edit": {
      kind: "mutation"
      args: {
        board: number
        /** uuid */
        id: string
        /** at most 200 characters */
        title?: string | null
        /** at most 4000 characters */
        note?: string | null
        /** bug, idea, chore, or empty for none */
        label?: string | null
        /** a member; empty for nobody */
        assignee?: string | null
      }
      result: unknown
    }
    /** The cards of a board, in order. */
    "cards.list": {
      kind: "query"
      args: {
        board: number
        /** only what this person does */
        assignee?: string | null
        /** only this label */
        label?: string | null
        /** only titles and notes with this in them; at most 100 characters */
        text?: string | null
      }
      result: Array<{
        /** uuid */
        id: string
        list: string
        title: string
        note: string
        label: string
        assignee: string | null
      }>
    }
    /** Puts a card behind another one. */
    "cards.move": {
      kind: "mutation"
      args: {
        board: number
        /** uuid */
        id: string
        list: string
        /** the card above it; none for the top; uuid */
        after?: string | null
      }
      result: unknown
    }
  }
}
