/** What a subscription shows at a moment. Treat `data` as read-only: rows that
 * did not change are the same objects in the next state. */
export interface State<T = any> {
  /** The newest rows or value; undefined before the first, and while denied. */
  readonly data: T | undefined
  /**
   * - `connecting`: there was no answer yet
   * - `live`: `data` is what the database says
   * - `stale`: `data` may be behind; it comes back by itself
   * - `denied`: a policy says no; `data` is dropped, and comes back by itself
   *   when the policy allows again
   * - `error`: it failed; if `error.retryable` it is tried again by itself
   */
  readonly status: "connecting" | "live" | "stale" | "denied" | "error"
  /** Why it is not live. */
  readonly error: WeirError | undefined
}

export class WeirError extends Error {
  constructor(code: string, message: string, more?: Partial<WeirError>)
  /** For programs: a code of the server or of the plugin, or `network`, `token`,
   * `http` (an answer that is not weir's), `closed`. */
  code: string
  /** Of a denied subscription: what the policy said, or its name; `scope_changed`
   * for the moment between the rows of an old scope and those of the new one. */
  reason?: string
  /** Trying the same again may work. */
  retryable: boolean
  /** Of the HTTP answer, if there was one. */
  status?: number
  /** Names the request in the server's log. */
  requestId?: string
  /** How many ms the server asked to wait. */
  retryAfter?: number
}

export interface Options {
  /** Where the server is, such as `https://live.example.com` or
   * `https://example.com/t/acme`. Default: this page's own origin. */
  url?: string
  /** The token, or what gives it: called for each stream, before the token
   * expires, and when it is refused. Nothing for an anonymous caller. When the
   * user changes, close the client and make another. */
  token?: string | null | (() => string | null | undefined | Promise<string | null | undefined>)
  /** In place of the global `fetch`. */
  fetch?: typeof fetch
}

export interface Subscription<T = any> {
  /** The state at this moment. */
  readonly current: State<T>
  /** Ends it: the callback hears nothing more. May be called twice. */
  close(): void
}

export interface Client {
  /**
   * Keeps the result of a query live. The callback hears the state soon after
   * this call and after each change of it, never during this call. Equal names
   * and arguments share one subscription, which is kept 5 s after its last user.
   */
  subscribe<T = any>(name: string, args: object | null | undefined, callback: (state: State<T>) => void, options?: { signal?: AbortSignal }): Subscription<T>
  /** The result of a query, once. */
  get<T = any>(name: string, args?: object | null, options?: { signal?: AbortSignal }): Promise<T>
  /** Runs a mutation and resolves with its result. It is never sent twice,
   * except when its token was refused, before anything ran. */
  call<T = any>(name: string, args?: object | null, options?: { signal?: AbortSignal }): Promise<T>
  /** Ends the stream and all subscriptions. May be called twice. */
  close(): void
}

export function createClient(options?: Options): Client

/** A parser of server-sent events: give it bytes, cut anywhere; `on` hears each
 * event that is whole. */
export function parser(on: (event: string, data: string, id: string) => void): (bytes: Uint8Array) => void
