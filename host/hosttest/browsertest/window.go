package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Window is one page of a browser. Its methods end the test when they fail.
type Window struct {
	Context context.Context

	t *testing.T
}

// Open opens a page in a window of its own.
func Open(t *testing.T, browser context.Context, url string) Window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	w := Window{ctx, t}
	w.Do(chromedp.EmulateViewport(1200, 720), chromedp.Navigate(url))
	return w
}

// Do runs actions.
func (w Window) Do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.Context, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// Run runs JavaScript in the page.
func (w Window) Run(script string) {
	w.t.Helper()
	w.Do(chromedp.Evaluate[chromedp.Void](script))
}

// Until waits for a condition of the page, an expression in JavaScript.
func (w Window) Until(condition string) {
	w.t.Helper()
	// Not by frame: a page behind another one paints none.
	err := chromedp.Do(w.Context, chromedp.Poll[chromedp.Void](`!!(`+condition+`)`, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(Patience/2)))
	if err != nil {
		page, _ := chromedp.Run(w.Context, chromedp.Evaluate[string]("document.body.innerText"))
		w.t.Fatalf("waited in vain for %s: %v\nthe page says:\n%s", condition, err, page)
	}
}

// Says waits until an element has a text in it.
func (w Window) Says(selector, text string) {
	w.t.Helper()
	w.Until(`[...document.querySelectorAll(` + strconv.Quote(selector) + `)].some(e => e.textContent.includes(` + strconv.Quote(text) + `))`)
}

// Click clicks the first element that is found, as a script does: it need not be
// in view.
func (w Window) Click(selector string) {
	w.t.Helper()
	w.Until(`document.querySelector(` + strconv.Quote(selector) + `)`)
	w.Run(`document.querySelector(` + strconv.Quote(selector) + `).click()`)
}

// Type types a text into a field; "\r" is the Enter key.
func (w Window) Type(selector, text string) {
	w.t.Helper()
	w.Until(`document.querySelector(` + strconv.Quote(selector) + `) && !document.querySelector(` + strconv.Quote(selector) + `).disabled`)
	// Not SendKeys, which reads a node while the page's events change it: a race.
	w.Run(`document.querySelector(` + strconv.Quote(selector) + `).focus()`)
	w.Do(chromedp.KeyEvent(text))
}

// Key presses a key without a character, such as Enter, where the focus is.
// Modifiers are Alt 1, Ctrl 2, Meta 4, Shift 8.
func (w Window) Key(name string, code, modifiers int64) {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		// Without the char event that KeyEvent adds: the page takes the key down.
		_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: name, Code: name, WindowsVirtualKeyCode: code, Modifiers: modifiers,
		})
		return err
	}))
}

// Sleep freezes the page, as a browser does with a tab that nobody looks at: no
// timer and no byte of a response reaches it, and Until waits in vain.
func (w Window) Sleep() {
	w.t.Helper()
	w.look(false)
	w.state(page.SetWebLifecycleStateStateFrozen)
}

// Wake ends Sleep: somebody looks at the page again.
func (w Window) Wake() {
	w.t.Helper()
	w.state(page.SetWebLifecycleStateStateActive)
	w.look(true) // what freezes a page hides it too
}

func (w Window) state(s page.SetWebLifecycleStateState) {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: s})
		return err
	}))
}

// look keeps the page in view, wherever its window is, or no longer.
func (w Window) look(at bool) {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: at})
		return err
	}))
}

// Keep writes a screenshot to $WEIR_ARTIFACTS, or a directory of the test.
func (w Window) Keep(name string) {
	w.t.Helper()
	dir := os.Getenv("WEIR_ARTIFACTS")
	if dir == "" {
		dir = w.t.TempDir()
	}
	// Animations must not be in the middle; those without an end keep their start.
	w.Run(`document.getAnimations().forEach(a => a.effect.getComputedTiming().endTime === Infinity ? (a.currentTime = 300) : a.finish())`)
	png, err := chromedp.Run(w.Context, chromedp.CaptureScreenshot())
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

// Dark makes the page's reader one who prefers dark.
func (w Window) Dark() { w.t.Helper(); w.prefer("dark") }

// Light ends Dark.
func (w Window) Light() { w.t.Helper(); w.prefer("light") }

func (w Window) prefer(scheme string) {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}
