package jobs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
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

// visit opens a page in a window of its own.
func visit(t *testing.T, browser context.Context, url string) window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	w := window{t, ctx}
	w.do(chromedp.EmulateViewport(1120, 860), chromedp.Navigate(url))
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

// keep writes a screenshot to $WEIR_ARTIFACTS, or a directory of the test.
func (w window) keep(name string) {
	w.t.Helper()
	dir := os.Getenv("WEIR_ARTIFACTS")
	if dir == "" {
		dir = w.t.TempDir()
	}
	// Animations must not be in the middle; those without an end keep their start.
	w.run(`document.getAnimations().forEach(a => a.effect.getComputedTiming().endTime === Infinity ? (a.currentTime = 300) : a.finish())`)
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

// card is the selector of the poster of that title.
func (w window) card(title, condition string) {
	w.t.Helper()
	w.until(`[...document.querySelectorAll("article")].some(card => card.querySelector("h2").textContent === "` + title + `" && (` + condition + `))`)
}

// press presses a button of a poster.
func (w window) press(title, label string) {
	w.t.Helper()
	w.card(title, `[...card.querySelectorAll("button")].some(b => b.textContent === "`+label+`" && !b.disabled)`)
	w.run(`[...document.querySelectorAll("article")].find(card => card.querySelector("h2").textContent === "` + title + `")
		.querySelectorAll("button").forEach(b => b.textContent === "` + label + `" && b.click())`)
}

// order fills in the form.
func (w window) order(title, style string) {
	w.t.Helper()
	w.run(`document.querySelector("[value=` + style + `]").click()`)
	w.do(chromedp.SendKeys("#title", title))
	w.run(`document.querySelector("#order").requestSubmit()`)
	w.card(title, `card.classList.contains("`+style+`")`)
}

// The whole story in the page: order, see it painted, publish, approve.
func TestBarsMoveInThePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	chrome := browser(t)
	ann, bob := visit(t, chrome, s.URL+"/?as=ann"), visit(t, chrome, s.URL+"/?as=bob")
	for _, w := range []window{ann, bob} {
		w.until(isLive)
		w.says("#posters .empty", "No posters yet")
	}
	// Every width that the bar is given.
	ann.run(`
		window.widths = new Set()
		new MutationObserver(() => document.querySelectorAll("article").forEach(a => widths.add(a.style.getPropertyValue("--done"))))
			.observe(document.querySelector("#posters"), { subtree: true, childList: true, attributes: true, attributeFilter: ["style"] })`)
	ann.order("Sand and Sun", "dunes")
	ann.card("Sand and Sun", `card.dataset.status === "queued" && card.querySelector(".line").textContent.includes("waiting for a worker")`)
	s.employ(20 * time.Millisecond)
	ann.card("Sand and Sun", `card.dataset.status === "done" && card.querySelector("img")?.naturalWidth === 640`)
	ann.until(`widths.size > 5`)
	ann.until(isLive)

	ann.press("Sand and Sun", "Publish")
	ann.card("Sand and Sun", `[...card.querySelectorAll("li")].map(e => e.dataset.status).join() === "done,waiting,pending,pending"`)
	ann.press("Sand and Sun", "Approve")
	ann.card("Sand and Sun", `card.querySelector(".line").textContent.includes("250 copies")`)
	// Nothing of it is bob's.
	bob.says("#posters .empty", "No posters yet")
	ann.run(`document.querySelector(".away").click()`)
	ann.says("#posters .empty", "No posters yet")
}

// Every state that a poster can be in, side by side; a worker in SQL holds them
// still for the picture.
func TestPageShowsEveryState(t *testing.T) {
	t.Parallel()
	s := open(t)
	chrome := browser(t)
	painter := s.employ(time.Millisecond)
	ann := visit(t, chrome, s.URL+"/?as=ann")
	ann.until(isLive)
	for _, p := range [][2]string{{"North by Night", "stars"}, {"Salt Water", "waves"}, {"Erg", "dunes"}} {
		ann.order(p[0], p[1])
		ann.card(p[0], `card.dataset.status === "done" && card.querySelector("img")`)
	}
	ann.press("North by Night", "Publish")
	ann.press("North by Night", "Approve")
	ann.card("North by Night", `card.querySelector(".line").textContent.includes("250 copies")`)
	ann.press("Salt Water", "Publish")
	ann.card("Salt Water", `card.querySelector(".line").textContent.includes("waits for your approval")`)
	painter.kill()
	for _, p := range [][2]string{{"Unlucky", "waves"}, {"Low Sun", "dunes"}, {"Polar", "stars"}} {
		ann.order(p[0], p[1])
	}
	set := func(title, sql string) {
		s.SQL(t, `update weir.jobs set `+sql+` from posters p where p.job_id = jobs.job_id and p.title = $1`, title)
	}
	set("Unlucky", `status = 'failed', progress = 35, error = 'the ink ran out in strip 15', finished_at = now()`)
	set("Low Sun", `status = 'running', attempts = 1, progress = 62.5, message = 'strip 25 of 40', lease = '1 hour', lease_until = now() + interval '1 hour'`)
	ann.card("Unlucky", `card.querySelector(".trouble").textContent === "the ink ran out in strip 15"`)
	ann.card("Low Sun", `card.querySelector(".line b").textContent === "63 %"`)
	ann.card("Polar", `card.dataset.status === "queued"`)
	ann.until(isLive)
	ann.run(`document.querySelector("#title").blur(); scrollTo(0, 0)`)
	ann.keep("jobs-light.png")
	ann.dark()
	ann.keep("jobs-dark.png")
	ann.do(chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile))
	ann.keep("jobs-phone.png")

	ann.press("Low Sun", "Cancel")
	ann.card("Low Sun", `card.dataset.status === "cancelled"`)
	// What is refused is said.
	ann.run(`document.querySelector("#title").value = "  "; document.querySelector("#order").requestSubmit()`)
	ann.says("#toast:not([hidden])", "give the poster a title")
}
