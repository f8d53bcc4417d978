import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { createClient } from "weir"
import { WeirProvider } from "weir/react"
import { App } from "./App"
import "./style.css"

// Under `weir dev` you are whoever you say; a real page gets a token from its
// identity provider here.
export const me = new URLSearchParams(location.search).get("as") ?? "ann"
const client = createClient({ token: () => "dev:" + me })

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <WeirProvider client={client}>
      <App me={me} />
    </WeirProvider>
  </StrictMode>,
)
