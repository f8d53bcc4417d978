/** The functions of a server, by name. `weir types` writes a file that fills it
 * in; then a wrong name, a wrong argument and a misread result do not compile.
 * Without that file every name is taken, and results are `any`. */
export interface Functions {}

type Typed = [keyof Functions] extends [never] ? false : true
type Named<Kind> = { [N in keyof Functions]: Functions[N] extends { kind: Kind } ? N : never }[keyof Functions]

/** The names of queries, and of mutations. */
export type QueryName = Typed extends true ? Named<"query"> : string
export type MutationName = Typed extends true ? Named<"mutation"> : string
/** The arguments of a function. */
export type ArgsOf<N> = N extends keyof Functions ? (Functions[N] extends { args: infer A } ? A : never) : object
/** The result of a function. */
export type ResultOf<N> = N extends keyof Functions ? (Functions[N] extends { result: infer R } ? R : never) : any

/** Arguments as they are given: nothing is enough if none is required. */
export type Given<N> = {} extends ArgsOf<N> ? ArgsOf<N> | null | undefined : ArgsOf<N>
type Rest<N, Options> = {} extends ArgsOf<N> ? [args?: ArgsOf<N> | null, options?: Options] : [args: ArgsOf<N>, options?: Options]

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
   * expires, and when it is refused. Nothing for an anonymous caller. When a JWT
   * comes whose `iss` or `sub` is another, everything of before is dropped; with
   * tokens that are no JWTs, close the client and make another. */
  token?: string | null | (() => string | null | undefined | Promise<string | null | undefined>)
  /** As in `fetch`: `"include"` sends the cookie `weir` to a server of another
   * origin, which must name this page's in `server.origins`. To this page's own it
   * is sent anyway. */
  credentials?: RequestCredentials
  /** In place of the global `fetch`. */
  fetch?: typeof fetch
  /** Whether the tabs of one user share one stream. A browser has six HTTP/1.1
   * connections to a server for all its tabs, so that the default is true over
   * HTTP/1.1 and false over HTTP/2. It needs https or localhost, and a token that
   * is a JWT or none: other tokens do not say whose they are. */
  shareTabs?: boolean
}

export interface Subscription<T = any> {
  /** The state at this moment. */
  readonly current: State<T>
  /** Ends it: the callback hears nothing more. May be called twice. */
  close(): void
}

/** What an optimistic update reads and writes. */
export interface Local {
  /** What is shown of a query; undefined if nothing is. */
  get<N extends QueryName>(name: N, args: Given<N>): ResultOf<N> | undefined
  /** Shows something else for it. Make a new value: the old one is read-only. */
  set<N extends QueryName>(name: N, args: Given<N>, data: ResultOf<N>): void
}

export interface CallOptions {
  signal?: AbortSignal
  /** Shows at once what the call will do. It is run again whenever the server
   * says something newer, and what it did is gone when the call is over: when the
   * stream shows the truth, or when the call has failed. */
  optimistic?: (local: Local) => void
}

interface Anything {
  signal?: AbortSignal
}

/** A client of a server whose functions `weir types` has described. */
export interface TypedClient {
  /**
   * Keeps the result of a query live. The callback hears the state soon after
   * this call and after each change of it, never during this call. Equal names
   * and arguments share one subscription, which is kept 5 s after its last user.
   */
  subscribe<N extends QueryName>(name: N, args: Given<N>, callback: (state: State<ResultOf<N>>) => void, options?: Anything): Subscription<ResultOf<N>>
  /** Every new result, for `for await`; the newest only, if the loop is slow.
   * Undefined means that access was taken away. It ends with the signal, and
   * throws what is final. */
  watch<N extends QueryName>(name: N, ...rest: Rest<N, Anything>): AsyncGenerator<ResultOf<N> | undefined, void, void>
  /** The state that a subscription would begin with: `connecting`, unless there
   * is one already. */
  peek<N extends QueryName>(name: N, args: Given<N>): State<ResultOf<N>>
  /** The result of a query, once. */
  get<N extends QueryName>(name: N, ...rest: Rest<N, Anything>): Promise<ResultOf<N>>
  /** Runs a mutation and resolves with its result, once the subscriptions show
   * what it wrote. It runs once, also when its answer was lost on the way and it
   * is asked for again. */
  call<N extends MutationName>(name: N, ...rest: Rest<N, CallOptions>): Promise<ResultOf<N>>
  /** Ends the stream and all subscriptions. May be called twice. */
  close(): void
}

/** A client of a server about which nothing is known. */
export interface UntypedClient {
  /** See TypedClient. */
  subscribe<T = any>(name: string, args: object | null | undefined, callback: (state: State<T>) => void, options?: Anything): Subscription<T>
  watch<T = any>(name: string, args?: object | null, options?: Anything): AsyncGenerator<T | undefined, void, void>
  peek<T = any>(name: string, args?: object | null): State<T>
  get<T = any>(name: string, args?: object | null, options?: Anything): Promise<T>
  call<T = any>(name: string, args?: object | null, options?: CallOptions): Promise<T>
  close(): void
}

export type Client = Typed extends true ? TypedClient : UntypedClient

export function createClient(options?: Options): Client

/** A parser of server-sent events: give it bytes, cut anywhere; `on` hears each
 * event that is whole. */
export function parser(on: (event: string, data: string, id: string) => void): (bytes: Uint8Array) => void
