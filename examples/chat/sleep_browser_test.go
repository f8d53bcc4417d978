package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/host/auth"
	"weir/host/hosttest/browsertest"
)

// What weir.js makes of a tab that is put to sleep and woken, in a browser.

// texts are the messages on the screen, from top to bottom; twice says that one
// of them was there twice at some time.
const (
	texts = `[...document.querySelectorAll("article .text")].map(e => e.textContent)`
	watch = `window.twice = false
		new MutationObserver(() => {
			const ids = [...document.querySelectorAll("article")].map(e => e.dataset.id)
			if (new Set(ids).size !== ids.length) twice = true
		}).observe(document.querySelector("#messages"), { childList: true })
		` + pulse
	// pulse tells whether the page is awake.
	pulse = `window.ticks = 0
		setInterval(() => ticks++, 10)
		document.addEventListener("freeze", () => (window.frozen = true))
		document.addEventListener("resume", () => (window.frozen = false))`
)

// shows waits for exactly these messages, in this order, live, and nothing twice.
func (w window) shows(want ...string) {
	w.t.Helper()
	w.Until(fmt.Sprintf(`JSON.stringify(%s) === JSON.stringify(%s) && !twice`, texts, quoted(want)))
	w.Until(isLive)
}

func quoted(list []string) string {
	out := "["
	for _, s := range list {
		out += fmt.Sprintf("%q,", s)
	}
	return out + "]"
}

// sleeping freezes the page, and sees that it is.
func (w window) sleeping() {
	w.t.Helper()
	w.Sleep()
	// Asked from outside: in the page nothing waits any more.
	within(w.t, "sleep", func() bool {
		still, err := chromedp.Run(w.Context, chromedp.Evaluate[bool](`!!window.frozen && (window.slept === ticks || (window.slept = ticks, false))`))
		if err != nil {
			w.t.Fatal(err)
		}
		return still
	})
}

// sleepsOn sees that the page slept until now.
func (w window) sleepsOn() {
	w.t.Helper()
	if still, err := chromedp.Run(w.Context, chromedp.Evaluate[bool](`frozen && slept === ticks`)); err != nil || !still {
		w.t.Errorf("the page is awake (%v)", err)
	}
}

// has waits until so many streams are open, of so many that were opened. One that
// was left is not gone at once.
func (g *gate) has(t *testing.T, open, opened int) {
	t.Helper()
	within(t, fmt.Sprintf("%d open streams of %d", open, opened), func() bool {
		now, all, _ := g.counts()
		return now == open && all == opened
	})
}

// settles waits until so many streams are open and returns how many were opened.
func (g *gate) settles(t *testing.T, open int) (opened int) {
	t.Helper()
	within(t, fmt.Sprintf("%d open streams", open), func() bool {
		now, all, _ := g.counts()
		opened = all
		return now == open
	})
	return opened
}

// later is what a page finds when it wakes: the clock went on without it.
func (w window) later(d time.Duration) {
	w.t.Helper()
	w.Run(fmt.Sprintf(`{ const now = Date.now; Date.now = () => now() + %d }`, d.Milliseconds()))
}

var seeded = []string{"Good morning!", "Morning. Is the new room up?", "It is: post here and watch the other window."}

func TestPageThatSleptShowsWhatItMissed(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	w.Run(watch)
	w.shows(seeded...)
	w.Run(`window.kept = document.querySelector("article .text")`)

	// It leaves its stream: the browser would read no more of it after the sleep.
	w.sleeping()
	g.has(t, 0, 1)
	post(t, h, "one")
	post(t, h, "two")
	h.SQL(t, `delete from messages where body = 'one'`)
	h.SQL(t, `update messages set body = 'second' where body = 'two'`)
	w.sleepsOn()
	w.Wake()
	want := append(slices.Clone(seeded), "second")
	w.shows(want...)
	g.has(t, 1, 2)

	// It wakes before its network does.
	w.sleeping()
	w.offline(true)
	post(t, h, "four")
	w.sleepsOn()
	w.Wake()
	w.Until(isStale)
	w.Until(fmt.Sprintf(`JSON.stringify(%s) === JSON.stringify(%s)`, texts, quoted(want))) // what was shown is kept
	w.offline(false)
	w.shows(append(want, "four")...)
	w.Until(`window.kept === document.querySelector("article .text")`)
	if opened := g.settles(t, 1); opened < 3 { // on a busy machine it may ask once before the network is there
		t.Errorf("%d streams were opened: the third is not there", opened)
	}
	post(t, h, "five")
	w.shows(append(want, "four", "five")...)
}

// The laptop slept, not the tab: nothing was frozen, the clock went on, and the
// connection died without a word. Who looks at it does not wait for the watchdog.
func TestPageOfAComputerThatSleptAsksAgain(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	w.Run(watch)
	g.lose()
	post(t, h, "one")
	h.SQL(t, `delete from messages where body = 'Good morning!'`)
	w.later(time.Hour)
	w.Run(`document.dispatchEvent(new Event("visibilitychange"))`)
	w.shows(append(slices.Clone(seeded[1:]), "one")...)
	g.has(t, 1, 2)
}

// A tab that falls asleep had the stream of all tabs: another takes it over at
// once, and the first follows when it wakes.
func TestSleepingTabGivesUpTheLeadAndFollows(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	chrome := browsertest.New(t)
	first := open(t, chrome, g.URL+"/?as=ann#1")
	first.Until(isLive)
	first.Run(watch)
	second := open(t, chrome, g.URL+"/?as=ann#1")
	second.Until(isLive)
	second.Run(watch)
	before := g.settles(t, 1) // on a busy machine the second one may look for the first in vain, once
	first.sleeping()
	g.has(t, 1, before+1)
	post(t, h, "one")
	second.shows(append(slices.Clone(seeded), "one")...)
	first.sleepsOn()
	post(t, h, "two")
	first.Wake()
	for _, w := range []window{first, second} {
		w.shows(append(slices.Clone(seeded), "one", "two")...)
	}
	g.has(t, 1, before+1)
	post(t, h, "three")
	for _, w := range []window{second, first} {
		w.shows(append(slices.Clone(seeded), "one", "two", "three")...)
	}
	g.has(t, 1, before+1)
}

// The token ended during the sleep: the page asks for a new one before it asks for
// anything else.
func TestPageThatSleptThroughItsTokenRenewsIt(t *testing.T) {
	t.Parallel()
	const secret = "a secret of at least thirty-two bytes"
	h := startWith(t, fmt.Sprintf("\n[auth]\nkeys = [{ issuer = \"chat\", audience = \"chat\", hs256 = %q }]\n", secret), nil)
	g := newGate(t, h.URL)
	given, life := 0, 4*time.Second // of the first token
	var ends time.Time
	g.token = func() string {
		given++
		ends = time.Now().Add(life).Truncate(time.Second)
		token, err := auth.Mint([]byte(secret), map[string]any{"iss": "chat", "aud": "chat", "sub": "ann", "exp": ends.Unix()})
		if err != nil {
			t.Error(err)
		}
		return token
	}
	w := open(t, browsertest.New(t), g.URL+"/weir.d.ts")
	w.Run(pulse)
	w.Run(`window.states = []
		import("/weir.js").then(({ createClient }) => {
			window.weir = createClient({ token: () => fetch("/token").then((r) => r.text()) })
			weir.subscribe("messages.list", { room: 1 }, (s) => states.push(s))
		})`)
	w.Until(`window.states?.at(-1)?.status === "live"`)
	w.sleeping()
	g.mu.Lock()
	life = time.Hour
	asked, end := given, ends
	g.mu.Unlock()
	within(t, "the end of the token", func() bool { return time.Now().After(end) })
	post(t, h, "After the token.")
	h.SQL(t, `delete from messages where body = 'Good morning!'`)
	w.sleepsOn()
	w.Wake()
	w.Until(`states.at(-1).status === "live" && states.at(-1).data[0].body === "After the token."`)
	w.Until(`states.at(-1).data.length === 3 && new Set(states.at(-1).data.map((m) => m.id)).size === 3`)
	w.Until(`(document.body.textContent = JSON.stringify(states.map((s) => [s.status, s.error?.code])), states.every((s) => s.status !== "error"))`)
	g.mu.Lock()
	if given <= asked {
		t.Errorf("the page asked for %d tokens, and for none when it woke", given)
	}
	g.mu.Unlock()
	g.has(t, 1, 2)
	post(t, h, "With the new one.")
	w.Until(`states.at(-1).data[0].body === "With the new one."`)
}
