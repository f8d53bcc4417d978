package chat

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// chromium returns the browser's program. Without it these tests are not run,
// and that is said where nobody misses it.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("WEIR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no Chromium. Install it or set WEIR_CHROMIUM. ***\n\n")
	t.Skip("Chromium is not installed")
	return ""
}

// browser starts a browser of its own, with an empty profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun,
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
	}, flags("disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage")...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end) // waits until the process is gone
	ctx, closed := chromedp.NewContext(ctx)
	t.Cleanup(closed)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func flags(names ...string) []chromedp.ExecAllocatorOption {
	var list []chromedp.ExecAllocatorOption
	for _, name := range names {
		list = append(list, chromedp.Flag(name, true))
	}
	return list
}

// window is one page of a browser.
type window struct {
	t   *testing.T
	ctx context.Context
}

// open opens a page in a window of its own.
func open(t *testing.T, browser context.Context, url string) window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	w := window{t, ctx}
	w.do(chromedp.EmulateViewport(900, 640), chromedp.Navigate(url))
	return w
}

func (w window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// run runs JavaScript in the page.
func (w window) run(script string) {
	w.t.Helper()
	w.do(chromedp.Evaluate[chromedp.Void](script))
}

// until waits for a condition of the page, an expression in JavaScript.
func (w window) until(condition string) {
	w.t.Helper()
	// Not by frame: a page behind another one paints none.
	err := chromedp.Do(w.ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience/2)))
	if err != nil {
		page, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		w.t.Fatalf("waited in vain for %s: %v\nthe page says:\n%s", condition, err, page)
	}
}

// says waits until an element has a text in it.
func (w window) says(selector, text string) {
	w.t.Helper()
	w.until(`[...document.querySelectorAll("` + selector + `")].some(e => e.textContent.includes("` + text + `"))`)
}

// write types a message and presses Enter.
func (w window) write(text string) {
	w.t.Helper()
	w.until(`!document.querySelector("#body").disabled`)
	w.do(chromedp.SendKeys("#body", text), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		// Without the char event that SendKeys adds: the page takes the key down.
		_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13,
		})
		return err
	}))
}

// keep writes a screenshot to $WEIR_ARTIFACTS, or a directory of the test.
func (w window) keep(name string) {
	w.t.Helper()
	dir := os.Getenv("WEIR_ARTIFACTS")
	if dir == "" {
		dir = w.t.TempDir()
	}
	// Animations must not be in the middle.
	w.run(`document.getAnimations().forEach(a => a.finish())`)
	png, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), png, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if len(png) < 5000 {
		w.t.Errorf("screenshot %s has %d bytes: the page is empty", name, len(png))
	}
}

// dark makes the page's reader one who prefers dark.
func (w window) dark() {
	w.t.Helper()
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	}))
}

const isLive = `document.querySelector("#status").dataset.status === "live"`

func TestMessagePostedInOneWindowAppearsInTheOther(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browser(t)
	ann := open(t, chrome, h.URL+"/?as=ann#1")
	bob := open(t, chrome, h.URL+"/?as=bob#1")
	for _, w := range []window{ann, bob} {
		w.until(isLive)
		w.says("article .text", "Good morning!")
		w.says("nav a[aria-current] b", "general")
	}
	ann.write("Does this reach you?")
	bob.says("article:not(.mine) .text", "Does this reach you?")
	ann.says("article.mine .text", "Does this reach you?")
	bob.write("At once.")
	ann.says("article:not(.mine) .text", "At once.")
	ann.says("nav a[aria-current] small", "5")

	// A row that did not change keeps its element, so that nothing flickers.
	bob.run(`window.kept = document.querySelector("article .text")`)
	h.SQL(t, `insert into messages (room_id, author, body) values (1, 'cid', '<b>From psql</b>')`)
	bob.says("article .text", "<b>From psql</b>")
	bob.until(`window.kept === document.querySelector("article .text")`)
	ann.keep("chat-ann.png")
	bob.dark()
	bob.keep("chat-bob-dark.png")
}

func TestPageSaysWhatIsDeniedAndWhatFailed(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browser(t)
	ann := open(t, chrome, h.URL+"/?as=ann#3")
	ann.says("#messages .empty", "This room is not yours")
	ann.until(isLive)
	ann.until(`document.querySelector("#body").disabled`)
	ann.keep("chat-denied.png")
	// Let in, she reads without a reload.
	h.SQL(t, `insert into members (room_id, user_id) values (3, 'ann')`)
	ann.says("article .text", "How do I leave a room?")

	// What is refused is said, and the text is not lost.
	h.SQL(t, `alter table messages add constraint quiet check (body not like '%forbidden%') not valid`)
	ann.write("a forbidden word")
	ann.until(`!document.querySelector("#toast").hidden`)
	ann.until(`document.querySelector("#body").value === "a forbidden word"`)
	ann.keep("chat-toast.png")

	// Nobody's rooms.
	dan := open(t, chrome, h.URL+"/?as=dan")
	dan.says("nav", "You are in no room yet")
	dan.keep("chat-no-room.png")
	dan.do(chromedp.EmulateViewport(390, 700, chromedp.EmulateMobile), chromedp.Navigate(h.URL+"/?as=cid#1"))
	dan.says("article .text", "Good morning!")
	dan.keep("chat-phone.png")
}

// Access is live: who is taken out of a room by SQL sees the messages go, and is
// told; put back, they return. Nobody reloads anything.
func TestPageGoesDarkAndReturnsWithTheMembership(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browser(t)
	bob := open(t, chrome, h.URL+"/?as=bob#1")
	bob.until(isLive)
	bob.says("article .text", "Good morning!")
	bob.write("Still here.")
	bob.says("article.mine .text", "Still here.")
	bob.run(`document.querySelector("#body").value = "half a thought"`)
	h.SQL(t, `begin; delete from members where room_id = 1 and user_id = 'bob';
		insert into messages (room_id, author, body) values (1, 'ann', 'Bob is out.'); commit`)
	bob.says("#messages .empty", "You are no longer in this room")
	bob.until(`!document.querySelector("article")`)
	bob.until(`document.querySelector("#body").disabled && document.querySelector("#title").textContent === "# general"`)
	bob.until(`![...document.querySelectorAll("nav a b")].some(e => e.textContent === "general")`)
	bob.until(isLive)
	bob.keep("chat-taken-out.png")
	bob.dark()
	bob.keep("chat-taken-out-dark.png")

	h.SQL(t, `insert into members (room_id, user_id) values (1, 'bob')`)
	bob.says("article .text", "Bob is out.")
	bob.says("article.mine .text", "Still here.")
	bob.says("nav a[aria-current] b", "general")
	bob.until(`!document.querySelector("#body").disabled && document.querySelector("#body").value === "half a thought"`)
	bob.keep("chat-back.png")
}

// D4: a page without weir.js hears every full result as a message.
func TestPlainEventSourceHearsChanges(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browser(t)
	w := open(t, chrome, h.URL+"/weir.d.ts")
	w.run(`
		window.seen = []
		window.source = new EventSource("/v1/q/messages.list?room=1&as=ann")
		window.source.onmessage = e => { seen.push(JSON.parse(e.data).rows[0].body); document.title = seen.length }`)
	w.until(`seen.length === 1`)
	h.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'plain')`)
	w.until(`seen.at(-1) === "plain"`)
}
