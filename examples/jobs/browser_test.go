package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/host/hosttest/browsertest"
)

// window is a page of posters.
type window struct {
	browsertest.Window
	t *testing.T
}

// visit opens a page in a window of its own.
func visit(t *testing.T, browser context.Context, url string) window {
	t.Helper()
	w := window{browsertest.Open(t, browser, url), t}
	w.Do(chromedp.EmulateViewport(1120, 860))
	return w
}

const isLive = `document.querySelector("#status").dataset.status === "live"`

// card is the selector of the poster of that title.
func (w window) card(title, condition string) {
	w.t.Helper()
	w.Until(`[...document.querySelectorAll("article")].some(card => card.querySelector("h2").textContent === "` + title + `" && (` + condition + `))`)
}

// press presses a button of a poster.
func (w window) press(title, label string) {
	w.t.Helper()
	w.card(title, `[...card.querySelectorAll("button")].some(b => b.textContent === "`+label+`" && !b.disabled)`)
	w.Run(`[...document.querySelectorAll("article")].find(card => card.querySelector("h2").textContent === "` + title + `")
		.querySelectorAll("button").forEach(b => b.textContent === "` + label + `" && b.click())`)
}

// order fills in the form.
func (w window) order(title, style string) {
	w.t.Helper()
	w.Run(`document.querySelector("[value=` + style + `]").click()`)
	w.Type("#title", title)
	w.Run(`document.querySelector("#order").requestSubmit()`)
	w.card(title, `card.classList.contains("`+style+`")`)
}

// The whole story in the page: order, see it painted, publish, approve.
func TestBarsMoveInThePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	chrome := browsertest.New(t)
	ann, bob := visit(t, chrome, s.URL+"/?as=ann"), visit(t, chrome, s.URL+"/?as=bob")
	for _, w := range []window{ann, bob} {
		w.Until(isLive)
		w.Says("#posters .empty", "No posters yet")
	}
	// Every width that the bar is given.
	ann.Run(`
		window.widths = new Set()
		new MutationObserver(() => document.querySelectorAll("article").forEach(a => widths.add(a.style.getPropertyValue("--done"))))
			.observe(document.querySelector("#posters"), { subtree: true, childList: true, attributes: true, attributeFilter: ["style"] })`)
	ann.order("Sand and Sun", "dunes")
	ann.card("Sand and Sun", `card.dataset.status === "queued" && card.querySelector(".line").textContent.includes("waiting for a worker")`)
	s.employ(20 * time.Millisecond)
	ann.card("Sand and Sun", `card.dataset.status === "done" && card.querySelector("img")?.naturalWidth === 640`)
	ann.Until(`widths.size > 5`)
	ann.Until(isLive)

	ann.press("Sand and Sun", "Publish")
	ann.card("Sand and Sun", `[...card.querySelectorAll("li")].map(e => e.dataset.status).join() === "done,waiting,pending,pending"`)
	ann.press("Sand and Sun", "Approve")
	ann.card("Sand and Sun", `card.querySelector(".line").textContent.includes("250 copies")`)
	// Nothing of it is bob's.
	bob.Says("#posters .empty", "No posters yet")
	ann.Run(`document.querySelector(".away").click()`)
	ann.Says("#posters .empty", "No posters yet")
}

// Every state that a poster can be in, side by side; a worker in SQL holds them
// still for the picture.
func TestPageShowsEveryState(t *testing.T) {
	t.Parallel()
	s := open(t)
	chrome := browsertest.New(t)
	painter := s.employ(time.Millisecond)
	ann := visit(t, chrome, s.URL+"/?as=ann")
	ann.Until(isLive)
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
	ann.Until(isLive)
	ann.Run(`document.querySelector("#title").blur(); scrollTo(0, 0)`)
	ann.Keep("jobs-light.png")
	ann.Dark()
	ann.Keep("jobs-dark.png")
	ann.Do(chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile))
	ann.Keep("jobs-phone.png")

	ann.press("Low Sun", "Cancel")
	ann.card("Low Sun", `card.dataset.status === "cancelled"`)
	// What is refused is said.
	ann.Run(`document.querySelector("#title").value = "  "; document.querySelector("#order").requestSubmit()`)
	ann.Says("#toast:not([hidden])", "give the poster a title")
}
