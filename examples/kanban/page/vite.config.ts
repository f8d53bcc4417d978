import react from "@vitejs/plugin-react"
import { defineConfig } from "vite"

export default defineConfig({
  plugins: [react()],
  // In this repository weir is a link to its directory; with a package from
  // http://your-server/weir.tgz neither line below is needed.
  resolve: { preserveSymlinks: true },
  server: { proxy: { "/v1": "http://localhost:8090" } }, // `npm run dev` beside `weir dev`
})
