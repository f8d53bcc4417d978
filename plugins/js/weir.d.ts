// Types of plugins in JavaScript, for editors and for tsc --checkJs. weir itself
// does not read this file: it says what the engine has.
//
//   import { allowIf, query, select, t } from "weir"
//
// All of these names are also there without the import: see the end.

declare module "weir" {
  /** A type of an argument, a claim, a column or a result. Each method returns another type. */
  interface Type<T> {
    /** It may be absent or null, and is undefined then. */
    optional(): Type<T | undefined>
    /** What it is when it is absent. */
    default(value: T): Type<T>
    /** Least number, or fewest characters, bytes or items. */
    min(n: number | bigint): Type<T>
    /** Largest number, or most characters, bytes or items. */
    max(n: number | bigint): Type<T>
    /** A sentence for people. */
    doc(sentence: string): Type<T>
    /** What a text is, for people. */
    format(name: string): Type<T>
    readonly __type?: T
  }

  type Types = Record<string, Type<any>>
  type ValueOf<X> = X extends Type<infer T> ? T : never
  type Values<A extends Types> = { [K in keyof A]: ValueOf<A[K]> }

  /** What may be returned where a result of type T is declared: a bigint is an integer, a Date is text, null is undefined. */
  type Returned<T> = 0 extends 1 & T ? any
    : T extends undefined ? undefined | null
    : T extends number | bigint ? number | bigint
    : T extends string ? string | Date
    : T extends boolean | Uint8Array ? T
    : T extends (infer I)[] ? readonly Returned<I>[]
    : T extends object ? { [K in keyof T as undefined extends T[K] ? never : K]: Returned<T[K]> } & { [K in keyof T as undefined extends T[K] ? K : never]?: Returned<T[K]> }
    : T

  const t: {
    /** An integer that a number holds exactly, to 2^53. A larger one is refused. */
    int: Type<number>
    /** An integer of 64 bits, always a bigint. */
    int64: Type<bigint>
    int32: Type<number>
    int16: Type<number>
    float: Type<number>
    bool: Type<boolean>
    text: Type<string>
    string: Type<string>
    bytes: Type<Uint8Array>
    uuid: Type<string>
    /** RFC 3339 in UTC with microseconds, which a Date would cut off. */
    timestamp: Type<string>
    date: Type<string>
    /** numeric, as its exact text. */
    decimal: Type<string>
    /** json and jsonb, as their text. */
    json: Type<string>
    any: Type<any>
    enum<const V extends string>(...values: V[]): Type<V>
    array<T>(items: Type<T>): Type<T[]>
    object<A extends Types>(fields: A): Type<Values<A>>
    /** A value of the caller's token, which a client cannot set: t.claim("sub"). */
    claim(name: string): Type<string>
    claim<T>(name: string, type: Type<T>): Type<T>
    /** A value that a policy put into the scope under the field's name. */
    scope(): Type<string>
    scope<T>(type: Type<T>): Type<T>
    /** For policies: what the guarded function does. */
    action: Type<"read" | "write">
    /** For policies: the name of the guarded function. */
    function: Type<string>
  }

  interface StatementOptions {
    /** The columns that tell rows apart: clients then get only the rows that changed. */
    key?: string | string[]
    /** Rows inside rows: what nest returns, a list of that, or the same by name. */
    nest?: Nest | Nest[] | Record<string, { rows: Select<any>; on: string; column: string }>
    /** Types of columns, such as { id: t.int64 } for what is always a bigint. */
    row?: Types
  }

  /** Rows that are still at the host. Integers past 2^53 are bigints. A function that returns them never reads them. */
  interface Rows<R> extends Iterable<R> {
    readonly length: number
    all(): R[]
    /** The only row; throws if there is none, or more. */
    one(): R
    first(): R | undefined
    /** The rows with these indexes, in this order, unread. */
    pick(indexes: readonly number[]): Rows<R>
    /** The rows with these columns only, unread. By names the statement runs now, by numbers when it must. */
    project(columns: readonly (string | number)[]): Rows<any>
    /** The rows with those of child in each, under name, where its column equals on. Clients get them; all() does not. */
    nest(name: string, on: string | number, child: Rows<any>, column: string | number): Rows<R>
    /** Gives the rows up: a call may hold only so many. */
    close(): void
  }

  /** SQL that is made up during the call, which needs the capability "sql.dynamic". A mutation may write with it. */
  function querySQL<R = any>(sql: string, args?: object, options?: { row?: Types }): Rows<R>

  interface Nest { readonly name: string; readonly on: string; readonly column: string }

  /** For select: under name come the rows of another select, whose only parameter is the set of the keys `on`, where its column equals them. */
  function nest(name: string, on: string, rows: Select<any>, column: string): Nest

  interface Select<R = any> {
    rows(args?: object): Rows<R>
    all(args?: object): R[]
    one(args?: object): R
    first(args?: object): R | undefined
  }

  interface Exec<R = any> extends Select<R> {
    /** Runs it and returns how many rows it touched. */
    run(args?: object): number
    readonly writes: true
  }

  /** Declares a SELECT. Parameters are names, $room; {and author = $author} is kept when author is given. */
  function select<R = any>(sql: string, options?: StatementOptions): Select<R>
  /** Declares an INSERT, UPDATE, DELETE or MERGE. Only mutations may run it. */
  function exec<R = any>(sql: string, options?: StatementOptions): Exec<R>

  interface Policy { readonly name: string; readonly __policy?: true }

  /** Who may call: all of these policies must allow, or whoever has a valid token, or everybody. */
  type Access = { require: Policy | Policy[] } | { signedIn: true } | { public: true }

  type FunctionOptions<Out = any> = Access & {
    /** The statements that it may run; without it, all that its kind allows. */
    uses?: Select<any>[]
    /** The type of its result, for clients; it is checked. */
    result?: Type<Out>
    /** A sentence for people. */
    doc?: string
  }

  /** A function of the arguments. Rows that it returns without reading them never enter the plugin. */
  type Body<A extends Types, Out> = (args: Values<A>) => Returned<Out> | Rows<any> | Promise<Returned<Out> | Rows<any>>

  /** A live query: a select, or a function of the arguments that computes from rows. */
  function query<A extends Types, Out = any>(name: string, args: A, body: (Select<any> & { readonly writes?: never }) | Body<A, NoInfer<Out>>, options: FunctionOptions<Out>): void
  /** A function that writes, in one transaction with its policies. */
  function mutation<A extends Types, Out = any>(name: string, args: A, body: Select<any> | Body<A, NoInfer<Out>>, options: FunctionOptions<Out>): void

  interface PolicyOptions { uses?: Select<any>[]; doc?: string }

  /** A policy that is one SELECT: a row allows. Columns allow, reason, scope and wake_at have a meaning. */
  function allowIf(name: string, args: Types, sql: string, options?: PolicyOptions): Policy
  /** A policy that computes. An error lets nobody in. */
  function policy<A extends Types>(name: string, args: A, decide: (args: Values<A>) => Decision | boolean | Promise<Decision | boolean>, options?: PolicyOptions): Policy
  /** A policy that a row is the caller's: arguments name it by its columns, a claim is compared with column. */
  function owner(name: string, args: Types, table: string, column: string, options?: PolicyOptions): Policy
  /** The policy of another plugin: otherPolicy("policy/org"). */
  function otherPolicy(name: string): Policy

  interface Decision { readonly allow: boolean }
  function allow(more?: { scope?: Record<string, string | number | bigint | boolean>; until?: Date }): Decision
  /** The reason is public: a client may show it. */
  function deny(reason?: string, more?: { until?: Date }): Decision

  /** Names the plugin; without it, its file does. Capabilities are what the operator must grant. */
  function plugin(name: string, version?: string, options?: { capabilities?: "sql.dynamic"[] }): void

  /** An error that the client sees: throw fail("empty", "write something first"). Others are "internal" to it. */
  function fail(code: string, message: string, more?: { retryable?: boolean }): Error
  /** The host refused something. code is "sql_error" when PostgreSQL did. */
  class HostError extends Error { readonly code: string; readonly errno: number }

  /** The time of the call, the same during it. */
  function now(): Date
  /** Asks for the function to be run again then. Of several times the earliest counts. */
  function wakeAt(time: Date): void
  /** What the operator set in [plugin.NAME.config] of weir.toml. */
  function config(key: string): string | undefined
  /** Lines for the operator. console does the same. */
  const log: Record<"debug" | "info" | "warn" | "error", (...parts: unknown[]) => void>
}

// The same names, as a plugin has them without an import.
declare const query: typeof import("weir").query
declare const mutation: typeof import("weir").mutation
declare const policy: typeof import("weir").policy
declare const allowIf: typeof import("weir").allowIf
declare const owner: typeof import("weir").owner
declare const otherPolicy: typeof import("weir").otherPolicy
declare const select: typeof import("weir").select
declare const exec: typeof import("weir").exec
declare const nest: typeof import("weir").nest
declare const querySQL: typeof import("weir").querySQL
declare const t: typeof import("weir").t
declare const plugin: typeof import("weir").plugin
declare const fail: typeof import("weir").fail
declare const now: typeof import("weir").now
declare const wakeAt: typeof import("weir").wakeAt
declare const config: typeof import("weir").config
declare const log: typeof import("weir").log
declare const allow: typeof import("weir").allow
declare const deny: typeof import("weir").deny
declare const HostError: typeof import("weir").HostError

interface Console {
  trace(...parts: any[]): void
  debug(...parts: any[]): void
  log(...parts: any[]): void
  info(...parts: any[]): void
  warn(...parts: any[]): void
  error(...parts: any[]): void
}
/** Lines for the operator, as log. */
declare var console: Console
