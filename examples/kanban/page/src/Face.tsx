/** A round sign for a person, in a colour of their own. */
export function Face({ user }: { user: string }) {
  let hue = 0
  for (const c of user) hue = (hue * 31 + c.charCodeAt(0)) % 360
  return (
    <span className="face" style={{ "--hue": (hue * 47) % 360 } as React.CSSProperties} title={user}>
      {user.slice(0, 2)}
    </span>
  )
}
