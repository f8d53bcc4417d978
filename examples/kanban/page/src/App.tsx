import { useEffect, useState } from "react"
import { useLive } from "weir/react"
import { Board } from "./Board"
import { Face } from "./Face"

export function App({ me }: { me: string }) {
  const { data: boards, status } = useLive("boards.list", {})
  const [chosen, choose] = useState(() => Number(location.hash.slice(1)) || 0)
  const board = boards?.find((b) => b.id === chosen) ?? (chosen ? undefined : boards?.[0])

  useEffect(() => {
    const follow = () => choose(Number(location.hash.slice(1)) || 0)
    addEventListener("hashchange", follow)
    return () => removeEventListener("hashchange", follow)
  }, [])
  useEffect(() => {
    document.title = board ? `${board.name} · Board` : "Board"
  }, [board])

  return (
    <>
      <header className="top">
        <nav aria-label="Boards">
          {boards?.map((b) => (
            <a key={b.id} href={"#" + b.id} aria-current={b === board ? "page" : undefined}>{b.name}</a>
          ))}
        </nav>
        <nav className="users" aria-label="You are">
          {["ann", "bob", "cid"].map((u) => (
            <a key={u} href={`?as=${u}${location.hash}`} aria-current={u === me ? "true" : undefined} title={u === me ? `You are ${u}` : `Be ${u}`}>
              <Face user={u} />
            </a>
          ))}
        </nav>
      </header>
      {chosen || board ? (
        // The board asks for itself: who loses it sees that here, and who gets it back, too.
        <Board key={chosen || board!.id} me={me} board={chosen || board!.id} members={board?.members.map((m) => m.user) ?? []} />
      ) : (
        <p className="empty">{status === "live" ? "You are on no board." : "Connecting…"}</p>
      )}
    </>
  )
}
