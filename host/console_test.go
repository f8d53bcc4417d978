package host_test

import (
	"context"
	"io"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"weir/host/hosttest"
)

// consolePage is the console in a browser of its own.
type consolePage struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex // protects the field below
	faults []string   // of the page's console
}

const pagePatience = 2 * time.Minute

func openConsole(t *testing.T, url string) *consolePage {
	t.Helper()
	program := ""
	for _, name := range []string{os.Getenv("WEIR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := osexec.LookPath(name); name != "" && err == nil {
			program = path
			break
		}
	}
	if program == "" {
		_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no Chromium. Install it or set WEIR_CHROMIUM. ***\n\n")
		t.Skip("Chromium is not installed")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), pagePatience)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end) // waits until the process is gone
	ctx, closed := chromedp.NewContext(ctx)
	t.Cleanup(closed)
	p := &consolePage{t: t, ctx: ctx}
	p.listen()
	p.do(chromedp.EmulateViewport(1280, 860), chromedp.Navigate(url))
	return p
}

func (p *consolePage) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *consolePage) run(script string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](script))
}

// until waits for a condition of the page, an expression in JavaScript.
func (p *consolePage) until(condition string) {
	p.t.Helper()
	err := chromedp.Do(p.ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(pagePatience/4)))
	if err != nil {
		page, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("waited in vain for %s: %v\nthe page says:\n%s\nits console: %q", condition, err, page, p.complaints())
	}
}

// says waits until an element has a text in it.
func (p *consolePage) says(selector, text string) {
	p.t.Helper()
	p.until(`[...document.querySelectorAll("` + selector + `")].some(e => e.textContent.includes("` + text + `"))`)
}

func (p *consolePage) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.faults...)
}

// keep writes screenshots, light and dark, to $WEIR_ARTIFACTS.
func (p *consolePage) keep(name string) {
	p.t.Helper()
	dir := os.Getenv("WEIR_ARTIFACTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}))
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "console-"+name+"-"+scheme+".png"), png, 0o600)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// listen collects what the browser complains of.
func (p *consolePage) listen() {
	note := func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, text)
	}
	err := chromedp.Listen(p.ctx, func(ev any) {
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
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
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
	p.says("h1", "Overview")
	p.says("td", "messages.list")
	p.says("#health", "ready")
	s.SQL(t, `insert into messages (room_id, author, body) values (2, 'bob', 'elsewhere')`)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'here')`)
	stream.result(t)

	p.run(`location.hash = "groups"`)
	p.says("tr.link", "messages.list")
	p.says("tr.link", "decision about one caller")
	p.until(`!document.body.innerText.includes("ann")`) // claims are the callers' own
	p.keep("groups")
	p.run(`[...document.querySelectorAll("tr.link")].find(e => e.textContent.includes("messages.list")).click()`)
	p.says(".story li", "up to date")
	p.says("td", "room_id is 2, the query reads 1")
	p.says("td", "new result, ")
	p.keep("why")

	p.run(`location.hash = "playground/default/messages.list"`)
	p.until(`document.querySelector("#args")?.value.includes("\"room\": 1")`)
	p.run(`document.querySelector("#live").click()`)
	p.says("#status", "live")
	p.until(`document.querySelectorAll(".frame pre").length === 1`)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', '<b>to the playground</b>')`)
	p.says(".frame:first-child pre", "<b>to the playground</b>")
	p.says(".frame:first-child .because", "insert messages")
	p.run(`document.querySelector("#ask").click()`)
	p.says("#why .story li", "up to date")
	p.keep("playground")
	// Whoever may not see it, does not see it here either.
	p.run(`document.querySelector("#live").click(); const who = document.querySelector("#as"); who.value = "stranger"; who.dispatchEvent(new Event("input"))`)
	p.run(`document.querySelector("#live").click()`)
	p.says(".frame:first-child", "denied")

	for _, part := range []string{"overview", "functions", "runs", "tenants"} {
		p.run(`location.hash = "` + part + `"`)
		p.until(`document.title.startsWith("` + part + `")`)
		p.until(`document.querySelectorAll("main td").length > 3`)
		p.keep(part)
	}
	// On a phone nothing is wider than the page.
	p.do(chromedp.EmulateViewport(390, 760, chromedp.EmulateMobile))
	for _, part := range []string{"overview", "groups", "tenants"} {
		p.run(`location.hash = "` + part + `"`)
		p.until(`document.title.startsWith("` + part + `") && document.querySelectorAll("main td").length > 3`)
		p.until(`document.documentElement.scrollWidth <= innerWidth`)
	}
	p.keep("phone")
	for _, fault := range p.complaints() {
		if !strings.Contains(fault, "403") { // the stranger
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
