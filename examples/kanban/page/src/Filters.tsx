import { Face } from "./Face"
import { labels, type Filters as Values } from "./cards"

/** What of a board is shown. Each choice is another live query. */
export function Filters({ members, value, change }: { members: string[]; value: Values; change: (v: Values) => void }) {
  const flip = (name: "assignee" | "label", v: string) => change({ ...value, [name]: value[name] === v ? undefined : v })
  const any = value.assignee || value.label || value.text
  return (
    <div className="filters" role="search">
      <input
        type="search" placeholder="Filter  /" aria-label="Filter by text" value={value.text ?? ""} maxLength={100}
        onChange={(e) => change({ ...value, text: e.target.value })}
      />
      {members.map((m) => (
        <button key={m} className="plain" aria-pressed={value.assignee === m} aria-label={`Only ${m}`} onClick={() => flip("assignee", m)}>
          <Face user={m} />
        </button>
      ))}
      {labels.map((l) => (
        <button key={l} className={"label " + l} aria-pressed={value.label === l} onClick={() => flip("label", l)}>{l}</button>
      ))}
      {any && <button className="plain quiet" onClick={() => change({})}>clear</button>}
    </div>
  )
}
