import type { ReactElement, ReactNode } from "react"
import type { ArgsOf, CallOptions, Client, Functions, Given, MutationName, QueryName, ResultOf, State, WeirError } from "./weir.js"

/** Gives a client to what is below it. Make the client outside of components. */
export function WeirProvider(props: { client: Client; children?: ReactNode }): ReactElement

/** The client of the nearest WeirProvider. */
export function useWeir(): Client

export interface LiveOptions<T> {
  /** Shown until the first answer, and on the server: what `get` gave there. */
  initial?: T
  /** Shows what the last arguments gave until those of now have an answer. */
  keep?: boolean
}

/** What a call gives back, and how it is going. */
export interface Call<N, T = ResultOf<N>> {
  /** Runs the mutation, see `call` of the client. It rejects if it failed. */
  call(...rest: {} extends ArgsOf<N> ? [args?: ArgsOf<N> | null, options?: CallOptions] : [args: ArgsOf<N>, options?: CallOptions]): Promise<T>
  /** At least one is running. */
  pending: boolean
  /** Why the last one failed. */
  error: WeirError | undefined
}

interface TypedHooks {
  useLive<N extends QueryName>(name: N, args: Given<N> | "skip", options?: LiveOptions<ResultOf<N>>): State<ResultOf<N>>
  useCall<N extends MutationName>(name: N): Call<N>
}
interface UntypedHooks {
  useLive<T = any>(name: string, args?: object | null | "skip", options?: LiveOptions<T>): State<T>
  useCall<T = any>(name: string): Call<string, T>
}
type Hooks = [keyof Functions] extends [never] ? UntypedHooks : TypedHooks

/** What a query shows now, as `subscribe` of the client does. Arguments may be a
 * new object at every render. Nothing is asked for while they are "skip". */
export const useLive: Hooks["useLive"]

/** A mutation and how it is going. */
export const useCall: Hooks["useCall"]
