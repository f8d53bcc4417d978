/**
 * weir.js/react: live queries in React 18 and newer.
 *
 *     <WeirProvider client={weir}><Room room={7} /></WeirProvider>
 *
 *     const { data, status, error } = useLive("messages.list", { room })
 *     const { call, pending, error } = useCall("messages.post")
 */
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react"

const Context = createContext(undefined)

/** Gives a client to what is below it. */
export function WeirProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children)
}

/** The client of the nearest WeirProvider. */
export function useWeir() {
  const client = useContext(Context)
  if (!client) throw new Error("there is no client here: put <WeirProvider client={createClient()}> around it")
  return client
}

const IDLE = Object.freeze({ data: undefined, status: "connecting", error: undefined })

/** What a query shows now; nothing is asked for while args are "skip". */
export function useLive(name, args, { initial, keep } = {}) {
  const client = useWeir()
  const skip = args === "skip"
  const key = skip ? undefined : JSON.stringify(args ?? {}) // a new object with equal members changes nothing
  const [subscribe, current] = useMemo(() => {
    if (skip) return [() => () => {}, () => IDLE]
    const given = JSON.parse(key)
    return [(changed) => client.subscribe(name, given, changed).close, () => client.peek(name, given)]
  }, [client, name, key, skip])
  const state = useSyncExternalStore(subscribe, current, () => IDLE)

  // What other arguments showed stands in until there is an answer.
  const before = useRef(undefined)
  useEffect(() => {
    if (state.status !== "connecting" || state.data !== undefined) before.current = { client, name, key, data: state.data }
  }, [client, name, key, state])
  const b = before.current
  const other = keep && b && b.client === client && b.name === name && b.key !== key ? b.data : undefined
  const data = state.data ?? (state.status === "connecting" ? other ?? initial : undefined)
  return useMemo(() => (data === state.data ? state : { ...state, data }), [state, data])
}

/** A mutation: `call(args, options)` runs it, `pending` says that it runs, `error`
 * why the last one failed. */
export function useCall(name) {
  const client = useWeir()
  const [{ running, error }, set] = useState({ running: 0, error: undefined })
  const call = useCallback(async (args, options) => {
    set(({ running }) => ({ running: running + 1, error: undefined }))
    let failed
    try {
      return await client.call(name, args, options)
    } catch (e) {
      failed = e
      throw e
    } finally {
      set(({ running, error }) => ({ running: running - 1, error: failed ?? error }))
    }
  }, [client, name])
  return { call, pending: running > 0, error }
}
