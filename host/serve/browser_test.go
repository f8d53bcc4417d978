package serve

import (
	"net/http"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/hosttest/browsertest"
)

// In a browser: a page of weir's own site signs in once, and an EventSource, a
// fetch and weir.js go by the cookie, which no script sees; a page of another site
// opens a stream by a ticket, and its EventSource stops for good when that is over.
func TestBrowserGoesByCookieAndTicket(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	f.backend.deny("rooms.list/", true) // nobody may; ann may
	here := strings.Replace(f.url, "127.0.0.1", "localhost", 1)
	browser := browsertest.New(t)
	w := browsertest.Open(t, browser, here+"/weir.d.ts")
	const headers = `{ Authorization: "Bearer canary-ann", "Content-Type": "application/json" }`
	w.Run(`window.says = ""; fetch("/v1/cookie", { method: "POST", headers: ` + headers + ` }).then(async (r) => {
		says = r.status + document.cookie
		new EventSource("/v1/q/rooms.list").onmessage = (e) => { window.seen = JSON.parse(e.data).rows[0].id }
		const { createClient } = await import("/weir.js")
		window.client = createClient()
		client.subscribe("rooms.list", {}, ({ data, status }) => { window.live = status + (data?.[0].id ?? "") })
	})`)
	w.Until(`says === "204"`)
	w.Until(`window.seen === "canary"`)
	w.Until(`window.live === "livecanary"`)
	w.Run(`client.close(); fetch("/v1/cookie", { method: "DELETE" }).then(() => fetch("/v1/q/rooms.list")).then((r) => { window.after = r.status })`)
	w.Until(`window.after === 403`)

	// Another site: no cookie goes there, and a ticket does.
	edge, err := NewEdge(nil, []string{f.url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.server.edge.Store(edge)
	w = browsertest.Open(t, browser, f.url+"/weir.d.ts")
	w.Run(`fetch("` + here + `/v1/ticket", { method: "POST", headers: ` + headers + ` }).then((r) => r.json()).then(({ ticket }) => {
		window.live = new EventSource("` + here + `/v1/q/rooms.list?ticket=" + ticket)
		live.onmessage = (e) => { window.seen = JSON.parse(e.data).rows[0].id }
	})`)
	w.Until(`window.seen === "canary"`)
	for _, s := range f.server.sessions.all() {
		s.end(abi.Draining, 10)
	}
	w.Until(`live.readyState === EventSource.CLOSED`)
	// A page that nobody allowed gets nothing at all.
	edge, err = NewEdge(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.server.edge.Store(edge)
	w.Run(`fetch("` + here + `/v1/ticket", { method: "POST", headers: ` + headers + ` }).catch(() => { window.refused = true })`)
	w.Until(`window.refused`)
	if res := f.do(http.MethodGet, "/v1/q/rooms.list", ""); res.status != 403 {
		t.Errorf("nobody: %d", res.status)
	}
}
