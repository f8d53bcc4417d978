// Written by weir types: do not edit, write it again.

export {}

declare module "weir" {
  interface Functions {
    /** The newest messages of a room. */
    "messages.list": {
      kind: "query"
      args: {
        room: number
        /** only what this person wrote */
        author?: string | null
        /** at most 3 items */
        kinds?: Array<"text" | "image"> | null
        /** date-time */
        since?: string | null
        /** 1 to 200; default 50 */
        limit?: number | null
      }
      result: Array<{
        id: number
        author: string
        body: string | null
        kind: "text" | "image"
        /** decimal */
        price: string
        /** base64 */
        photo: string | null
        extra: unknown
        reactions: Array<{
          user: string
          n: number
        }>
      }>
    }
    "messages.post": {
      kind: "mutation"
      args: {
        room: number
        /** at most 4000 characters */
        body: string
      }
      result: {
        id: number
      }
    }
    /** Ends a comment *\/ early,
     * or so it may seem. */
    "messages.purge": {
      kind: "mutation"
      args: {
        /** default 30 */
        "older-than"?: number | null
        /** default "a \"quote\"" */
        why?: string | null
      }
      result: unknown
    }
    "rooms.count": {
      kind: "query"
      args: { [name: string]: never }
      result: number
    }
  }
}
