package chat

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"weir/host/auth"
	"weir/host/config"
	"weir/host/hosttest"
	"weir/host/hosttest/browsertest"
)

// What weir.js makes of a network and a server that come and go, in a browser.

const isStale = `document.querySelector("#status").dataset.status === "stale"`

// post writes a message as the database's owner.
func post(t *testing.T, h *hosttest.Server, text string) {
	t.Helper()
	h.SQL(t, `insert into messages (room_id, author, body) values (1, 'cid', $1)`, text)
}

// within waits until a condition holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience / 2)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("waited in vain for " + what)
		}
	}
}

func (w window) close() {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cdp.Command[cdp.Empty, cdp.Empty]{Method: "Page.close"}, cdp.Empty{})
		return err
	}))
}

// D2, D5: a browser has six connections to a server over HTTP/1.1. Eight tabs of
// one user need one of them; when the tab that has it is closed, another takes
// over, and what was shown stays.
func TestEightTabsShareOneStream(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	chrome := browsertest.New(t)
	tabs := make([]window, 8)
	for i := range tabs {
		tabs[i] = open(t, chrome, g.URL+"/?as=ann#1")
		tabs[i].Says("article .text", "Good morning!")
		tabs[i].Until(isLive)
	}
	if now, opened, _ := g.counts(); now != 1 || opened != 1 {
		t.Fatalf("%d streams are open, %d were opened, want 1", now, opened)
	}
	// Each tab can do everything.
	tabs[7].write("From the last tab.")
	for _, w := range tabs {
		w.Says("article.mine .text", "From the last tab.")
	}
	// Another user shares nothing with them.
	bob := open(t, chrome, g.URL+"/?as=bob#1")
	bob.Says("article:not(.mine) .text", "From the last tab.")
	if now, _, _ := g.counts(); now != 2 {
		t.Fatalf("%d streams are open, want ann's and bob's", now)
	}

	// Access goes and comes back in all of them.
	tabs[5].Run(`window.kept = document.querySelector("article .text")`)
	h.SQL(t, `delete from members where room_id = 1 and user_id = 'ann'`)
	for _, w := range tabs {
		w.Says("#messages .empty", "You are no longer in this room")
		w.Until(`!document.querySelector("article")`)
	}
	h.SQL(t, `insert into members (room_id, user_id) values (1, 'ann')`)
	for _, w := range tabs {
		w.Says("article.mine .text", "From the last tab.")
	}

	// The tab with the stream is the first. It goes, and nothing is dark meanwhile.
	for _, w := range tabs[1:] {
		w.Run(`window.kept = document.querySelector("article .text"); window.gaps = 0
			new MutationObserver(() => document.querySelector("article") || gaps++).observe(document.querySelector("#messages"), { childList: true })`)
	}
	tabs[0].close()
	within(t, "another tab's stream", func() bool { now, opened, _ := g.counts(); return now == 2 && opened == 3 })
	post(t, h, "After the first tab.")
	for _, w := range tabs[1:] {
		w.Says("article .text", "After the first tab.")
		w.Until(`gaps === 0 && window.kept === document.querySelector("article .text")`)
		w.Until(isLive)
	}
	if now, opened, _ := g.counts(); now != 2 || opened != 3 {
		t.Errorf("%d streams are open, %d were opened, want 2 and 3", now, opened)
	}
	tabs[3].write("Still here.")
	tabs[6].Says("article.mine .text", "Still here.")
	tabs[6].Keep("chat-eight-tabs.png")

	// What only a closed tab wanted is dropped, though it could not say so.
	subscriptions(t, h, 4) // the rooms and a room, of ann and of bob
	tabs[2].Run(`location.hash = "#2"`)
	tabs[2].Says("article .text", "Tea or coffee?")
	subscriptions(t, h, 5)
	tabs[2].close()
	subscriptions(t, h, 4)
}

// subscriptions waits until the server has so many.
func subscriptions(t *testing.T, h *hosttest.Server, want int) {
	t.Helper()
	within(t, fmt.Sprintf("%d subscriptions", want), func() bool {
		_, body := request(t, http.MethodGet, h.Admin+"/metrics", "")
		return strings.Contains(body, fmt.Sprintf("\nweir_serve_subscriptions %d\n", want))
	})
}

// A tab that does not answer, as one that was frozen or stopped by a debugger,
// loses the lead to one that somebody looks at.
func TestTabThatDoesNotAnswerLosesTheLead(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	chrome := browsertest.New(t)
	first := open(t, chrome, g.URL+"/?as=ann#1")
	first.Until(isLive)
	second := open(t, chrome, g.URL+"/?as=ann#1")
	second.Until(isLive)
	// Its channel hears nothing any more.
	hang := `BroadcastChannel.prototype.postMessage = () => {}`
	first.Run(hang)
	second.Run(`document.dispatchEvent(new Event("visibilitychange"))`) // somebody looks at it
	within(t, "the second tab's stream", func() bool { _, opened, _ := g.counts(); return opened == 2 })
	post(t, h, "Not by the first tab.")
	second.Says("article .text", "Not by the first tab.")
	second.Until(isLive)
	within(t, "the end of the first tab's stream", func() bool { now, _, _ := g.counts(); return now == 1 })
}

func (w window) offline(off bool) {
	w.t.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		c := network.Conditions{DownloadThroughput: -1, UploadThroughput: -1, Offline: off}
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		if err == nil {
			_, err = cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{&c}})
		}
		if err == nil {
			_, err = cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{DownloadThroughput: -1, UploadThroughput: -1, Offline: off})
		}
		return err
	}))
}

func TestPageComesBackWhenTheNetworkDoes(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	w.offline(true)
	g.cut()
	w.Until(`!navigator.onLine`)
	w.Until(isStale)
	w.Says("article .text", "Good morning!") // what was shown is kept
	post(t, h, "While you were away.")
	w.offline(false)
	w.Says("article .text", "While you were away.")
	w.Until(isLive)
}

func TestPageComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	w.Run(`window.kept = document.querySelector("article .text")`)
	h.Stop()
	w.Until(isStale)
	post(t, h, "Written while nobody served.")
	again := startWith(t, "", &hosttest.Database{URL: config.Secret(h.DB.As("weir", "")), Guest: config.Secret(h.DB.As("weir_guest", ""))})
	g.lead(t, again.URL)
	w.Says("article .text", "Written while nobody served.")
	w.Until(isLive)
	// It came back with what it held: rows that did not change kept their elements.
	w.Until(`window.kept === document.querySelector("article .text")`)
	w.write("And on it goes.")
	w.Says("article.mine .text", "And on it goes.")
}

func TestPageWaitsThrough503(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	g.shut(true)
	g.cut()
	w.Until(isStale)
	within(t, "a second try", func() bool { _, _, refused := g.counts(); return refused >= 2 })
	w.Says("article .text", "Good morning!")
	post(t, h, "In the middle.")
	g.shut(false)
	w.Says("article .text", "In the middle.")
	w.Until(isLive)
	if _, _, refused := g.counts(); refused > 20 {
		t.Errorf("%d tries: the page does not wait", refused)
	}
}

// Tokens of a few seconds: the page asks for new ones, and its stream goes on.
func TestStreamOutlivesItsTokens(t *testing.T) {
	t.Parallel()
	const secret = "a secret of at least thirty-two bytes"
	h := startWith(t, fmt.Sprintf("\n[auth]\nkeys = [{ issuer = \"chat\", audience = \"chat\", hs256 = %q }]\n", secret), nil)
	g := newGate(t, h.URL)
	var given []time.Time
	g.token = func() string {
		expires := time.Now().Truncate(time.Second).Add(9 * time.Second)
		given = append(given, expires)
		token, err := auth.Mint([]byte(secret), map[string]any{"iss": "chat", "aud": "chat", "sub": "ann", "exp": expires.Unix()})
		if err != nil {
			t.Error(err)
		}
		return token
	}
	w := open(t, browsertest.New(t), g.URL+"/weir.d.ts")
	w.Run(`window.states = []
		import("/weir.js").then(({ createClient }) => {
			window.weir = createClient({ token: () => fetch("/token").then((r) => r.text()) })
			weir.subscribe("messages.list", { room: 1 }, (s) => states.push(s))
		})`)
	w.Until(`window.states?.at(-1)?.status === "live"`)
	within(t, "the end of the first token", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(given) >= 3 && time.Now().After(given[0].Add(time.Second))
	})
	post(t, h, "With the third token.")
	w.Until(`states.at(-1).data[0].body === "With the third token."`)
	w.Until(`(document.body.textContent = JSON.stringify(states.map((s) => [s.status, s.error?.code, s.error?.message])), states.slice(1).every((s) => s.status === "live"))`)
	if _, opened, _ := g.counts(); opened != 1 {
		t.Errorf("%d streams were opened, want 1", opened)
	}
}

// A plugin is replaced: the page shows what the new one says, on the same stream.
func TestPageFollowsAReplacedPlugin(t *testing.T) {
	t.Parallel()
	h := start(t)
	g := newGate(t, h.URL)
	w := open(t, browsertest.New(t), g.URL+"/?as=ann#1")
	w.Until(isLive)
	w.Until(`document.querySelector("article .text").textContent.includes("Good morning!")`)
	files, err := filepath.Glob(filepath.Join(h.Plugins, "*.wasm"))
	if err != nil || len(files) != 1 {
		t.Fatalf("plugins: %v %v", files, err)
	}
	code, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	// The same plugin with the rows the other way round, byte for byte as long.
	other := bytes.ReplaceAll(code, []byte("order by id desc limit $limit"), []byte("order by id asc  limit $limit"))
	if bytes.Equal(code, other) {
		t.Fatal("the statement was not found in the module")
	}
	h.Write(t, filepath.Base(files[0]), other)
	w.Until(`[...document.querySelectorAll("article .text")].at(-1).textContent.includes("Good morning!")`)
	w.Until(isLive)
	post(t, h, "After the reload.")
	w.Says("article .text", "After the reload.")
	if _, opened, _ := g.counts(); opened != 1 {
		t.Errorf("%d streams were opened, want 1", opened)
	}
}

// The same with a line of curl, as the README says.
func TestOneQueryIsAStreamForCurl(t *testing.T) {
	t.Parallel()
	h := start(t)
	stream := frames(t, h.URL+"/v1/q/messages.list?room=1&as=ann")
	if r := next(t, stream); len(r.Rows) == 0 || !strings.Contains(r.Rows[len(r.Rows)-1].Body, "Good morning!") {
		t.Fatalf("the first frame has %+v", r.Rows)
	}
	post(t, h, "For curl.")
	if r := next(t, stream); r.Rows[0].Body != "For curl." {
		t.Errorf("the next frame has %+v", r.Rows[0])
	}
}
