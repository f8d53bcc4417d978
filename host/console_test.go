package host_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"weir/host/hosttest"
	"weir/host/hosttest/browsertest"
)

// consolePage is the console in a browser of its own.
type consolePage struct {
	browsertest.Window
	t *testing.T

	mu     sync.Mutex // protects the field below
	faults []string   // of the page's console
}

func openConsole(t *testing.T, url string) *consolePage {
	t.Helper()
	p := &consolePage{Window: browsertest.Open(t, browsertest.New(t), "about:blank"), t: t}
	p.listen()
	p.Do(chromedp.EmulateViewport(1280, 860), chromedp.Navigate(url))
	return p
}

// part opens a part of the console.
func (p *consolePage) part(name string) { p.t.Helper(); p.Run(`location.hash = "` + name + `"`) }

func (p *consolePage) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.faults...)
}

// keep writes screenshots, light and dark.
func (p *consolePage) keep(name string) {
	p.t.Helper()
	p.Keep("console-" + name + "-light.png")
	p.Dark()
	p.Keep("console-" + name + "-dark.png")
	p.Light()
}

// listen collects what the browser complains of.
func (p *consolePage) listen() {
	note := func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, text)
	}
	err := chromedp.Listen(p.Context, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			note("thrown: " + e.ExceptionDetails.Text + " " + e.ExceptionDetails.Exception.Description)
		case *runtime.EventConsoleAPICalled:
			note("console." + string(e.Type))
		case *log.EventEntryAdded:
			note(string(e.Entry.Level) + ": " + e.Entry.Text + " " + e.Entry.URL)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{})
		if err == nil {
			_, err = cdp.Call(ctx, t, runtime.Enable, cdp.Empty{})
		}
		return err
	}))
}

// TestConsoleShowsWhatIsLive opens every part of the console in a browser: it
// loads nothing from elsewhere, complains of nothing, lists a live result with its
// why, and its playground shows frames under the caller's own rights.
func TestConsoleShowsWhatIsLive(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	stream.result(t)
	watch(t, s.URL+"/v1/q/rooms.list?as=bob").result(t)
	watch(t, s.URL+"/v1/q/messages.list?room=1&as=bob").result(t)
	p := openConsole(t, s.Admin+"/")
	p.Says("h1", "Overview")
	p.Says("td", "messages.list")
	p.Says("#health", "ready")
	s.SQL(t, `insert into messages (room_id, author, body) values (2, 'bob', 'elsewhere')`)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'here')`)
	stream.result(t)

	p.Run(`location.hash = "groups"`)
	p.Says("tr.link", "messages.list")
	p.Says("tr.link", "decision about one caller")
	p.Until(`!document.body.innerText.includes("ann")`) // claims are the callers' own
	p.keep("groups")
	p.Run(`[...document.querySelectorAll("tr.link")].find(e => e.textContent.includes("messages.list")).click()`)
	p.Says(".story li", "up to date")
	p.Says("td", "room_id is 2, the query reads 1")
	p.Says("td", "new result, ")
	p.keep("why")

	p.Run(`location.hash = "playground/default/messages.list"`)
	p.Until(`document.querySelector("#args")?.value.includes("\"room\": 1")`)
	p.Run(`document.querySelector("#live").click()`)
	p.Says("#status", "live")
	p.Until(`document.querySelectorAll(".frame pre").length === 1`)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', '<b>to the playground</b>')`)
	p.Says(".frame:first-child pre", "<b>to the playground</b>")
	p.Says(".frame:first-child .because", "insert messages")
	p.Run(`document.querySelector("#ask").click()`)
	p.Says("#why .story li", "up to date")
	p.keep("playground")
	// Whoever may not see it, does not see it here either.
	p.Run(`document.querySelector("#live").click(); const who = document.querySelector("#as"); who.value = "stranger"; who.dispatchEvent(new Event("input"))`)
	p.Run(`document.querySelector("#live").click()`)
	p.Says(".frame:first-child", "denied")

	for _, part := range []string{"overview", "functions", "runs", "tenants"} {
		p.Run(`location.hash = "` + part + `"`)
		p.Until(`document.title.startsWith("` + part + `")`)
		p.Until(`document.querySelectorAll("main td").length > 3`)
		p.keep(part)
	}
	// On a phone nothing is wider than the page.
	p.Do(chromedp.EmulateViewport(390, 760, chromedp.EmulateMobile))
	for _, part := range []string{"overview", "groups", "tenants"} {
		p.Run(`location.hash = "` + part + `"`)
		p.Until(`document.title.startsWith("` + part + `") && document.querySelectorAll("main td").length > 3`)
		p.Until(`document.documentElement.scrollWidth <= innerWidth`)
	}
	p.keep("phone")
	for _, fault := range p.complaints() {
		if !strings.Contains(fault, "403") { // the stranger
			t.Errorf("the browser complains: %s", fault)
		}
	}
}

// TestConsoleShowsEachTenantUnderItsOwnName: W7. Two tenants have plugins and
// functions of equal names. What is live in one, what it reads and which limits it
// has stand under its name and under no other. This server serves, so that the
// playground needs a token, and a token of one tenant opens nothing of the other.
func TestConsoleShowsEachTenantUnderItsOwnName(t *testing.T) {
	t.Parallel()
	toml := strings.Replace(twoTenants, "[tenant.bolt]", "[tenant.acme.limits]\nresult_rows = 777\n[tenant.bolt]", 1) +
		"[tenant.bolt.limits]\nresult_rows = 888\n"
	s := two(t, hosttest.Config{TOML: toml, Serve: true, Tenants: map[string]hosttest.Tenant{
		"acme": {Modules: map[string][]byte{"orders.wasm": named("orders")}},
	}})
	session(t, s.URL+"/t/acme/v1/stream", tokenOf(t, "acme"), `{"subs":[{"id":1,"q":"orders.list"}]}`).result(t)
	session(t, s.URL+"/t/bolt/v1/stream", tokenOf(t, "bolt"), `{"subs":[{"id":1,"q":"items.list"}]}`).result(t)
	p := openConsole(t, s.Admin+"/")
	p.Says("h1", "Overview")

	// Plugins and limits.
	p.part("tenants")
	p.Run(`window.of = (name) => [...document.querySelectorAll("section.card")].find(e => e.querySelector("h2")?.textContent === name)?.textContent ?? ""`)
	p.Until(`of("acme").includes("schema acme") && of("bolt").includes("schema bolt")`)
	p.Until(`of("acme").includes("orders.wasm") && of("acme").includes("items.wasm")`)
	p.Until(`of("bolt").includes("items.wasm") && !of("bolt").includes("orders")`)
	p.Until(`of("acme").includes("result_rows777") && !of("acme").includes("888")`)
	p.Until(`of("bolt").includes("result_rows888") && !of("bolt").includes("777")`)
	p.Until(`!of("default").includes("items.wasm") && !of("default").includes("orders.wasm")`)
	p.keep("two-tenants")

	// Live results.
	p.part("groups")
	p.Run(`window.choose = (name) => { const s = document.querySelector('select[aria-label="tenant"]'); s.value = name; s.dispatchEvent(new Event("change")) }
		window.live = () => [...document.querySelectorAll("tr.link")].map(e => e.textContent).join("\n")`)
	p.Until(`live().includes("orders.list acme") && live().includes("items.list bolt") && !/orders.list bolt|items.list acme/.test(live())`)
	p.Run(`choose("acme")`)
	p.Until(`live().includes("orders.list") && !live().includes("items.list")`)
	p.Run(`choose("bolt")`)
	p.Until(`live().includes("items.list") && !live().includes("orders.list")`)

	// What a function reads, under the tenant's own roof.
	p.part("functions")
	p.Run(`window.reads = (name) => [...document.querySelectorAll("section.card")].find(e => e.querySelector("h2")?.textContent === "items" && e.querySelector(".row .soft:last-child").textContent === name)`)
	for _, name := range []string{"acme", "bolt"} {
		p.Until(`reads("` + name + `")`)
		p.Run(`[...reads("` + name + `").querySelectorAll("tr")].find(e => e.textContent.includes("items.list")).querySelector("a:last-child").click()`)
		p.Until(`reads("` + name + `").querySelector("pre")?.textContent.includes("` + name + `.items")`)
		p.Until(`reads("` + name + `").querySelectorAll("pre").length === 1`)
	}

	// The playground.
	p.part("playground/acme/items.list")
	p.Until(`document.querySelector("#token") && !document.querySelector("#as")`)
	p.Until(`document.querySelector("#function").value === "acme/items.list"`)
	p.Click("#run")
	p.Says(".frame:first-child", "sign in first")
	give := func(tenant string) {
		p.Run(fmt.Sprintf(`{ const f = document.querySelector("#token"); f.value = %q; f.dispatchEvent(new Event("input")) }`, tokenOf(t, tenant)))
	}
	give("bolt")
	p.Click("#run")
	p.Says(".frame:first-child", "another tenant")
	give("acme")
	p.Click("#run")
	p.Says(".frame:first-child pre", `"acme"`)
	p.Click("#live")
	p.Says("#status", "live")
	s.SQL(t, `update bolt.items set title = 'not mine' where id = 1; update acme.items set title = 'mine' where id = 1`)
	p.Says(".frame:first-child pre", `"mine"`)
	p.Says(".frame:first-child .because", "update acme.items")
	p.Click("#ask")
	p.Says("#why .story li", "up to date")
	p.Until(`!document.body.textContent.includes("not mine")`)
	p.keep("serve-playground")
	p.part("playground/acme/items.touch")
	p.Until(`document.querySelector("#run").textContent === "Call"`)
	p.Click("#run")
	p.Says(".frame:first-child", "called")
	for _, fault := range p.complaints() {
		// No token, another's; and advice about the field for it.
		if !strings.Contains(fault, "401") && !strings.Contains(fault, "403") && !strings.HasPrefix(fault, "verbose:") {
			t.Errorf("the browser complains: %s", fault)
		}
	}
}

// TestConsoleGivesNoRightsOfItsOwn: D8. Other sites' pages are refused, the page
// may load nothing from elsewhere, and the playground has the public API's rules.
func TestConsoleGivesNoRightsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	f := func(method, path string, header http.Header, want int) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.Admin+path, strings.NewReader(`{"room":1,"body":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range header {
			r.Header[name] = values
		}
		if host := header.Get("Host"); host != "" {
			r.Host = host
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s %v: %d, want %d: %s", method, path, header, resp.StatusCode, want, body)
		}
		return resp
	}
	page := f("GET", "/console/", nil, 200)
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
	posting := http.Header{"Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		h := posting.Clone()
		h.Set(name, value)
		return h
	}
	f("POST", "/play/v1/call/messages.post?as=ann", posting, 200)
	f("POST", "/play/v1/call/messages.post", posting, 401)
	f("POST", "/play/v1/call/messages.post?as=stranger", posting, 403)
	f("POST", "/play/v1/call/messages.post?as=ann", with("X-Forwarded-For", "203.0.113.9"), 401) // not from this machine
	f("POST", "/play/v1/call/messages.post?as=ann", with("Origin", "https://evil.example"), 403)
	f("POST", "/play/v1/call/messages.post?as=ann", with("Sec-Fetch-Site", "cross-site"), 403)
	f("GET", "/api/overview", with("Sec-Fetch-Site", "same-site"), 403)
	f("GET", "/why/messages.list?room=1&as=ann", with("Host", "evil.example"), 421)
	f("GET", "/play/metrics", nil, 404)
	f("GET", "/console/../operator.go", nil, 404)
	f("GET", "/api/groups?limit=100000", nil, 400)
	f("GET", "/why/messages.lost", nil, 404)
	f("GET", "/why/messages.list?room=seven&as=ann", nil, 400)
	f("GET", "/t/nobody/why/messages.list", nil, 404)
}
