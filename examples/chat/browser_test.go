package chat

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"weir/host/hosttest/browsertest"
)

// window is a page of the chat.
type window struct {
	browsertest.Window
	t *testing.T
}

// open opens a page in a window of its own.
func open(t *testing.T, browser context.Context, url string) window {
	t.Helper()
	w := window{browsertest.Open(t, browser, url), t}
	w.Do(chromedp.EmulateViewport(900, 640))
	return w
}

// write types a message and presses Enter.
func (w window) write(text string) {
	w.t.Helper()
	w.Type("#body", text)
	w.Key("Enter", 13, 0)
}

const isLive = `document.querySelector("#status").dataset.status === "live"`

func TestMessagePostedInOneWindowAppearsInTheOther(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browsertest.New(t)
	ann := open(t, chrome, h.URL+"/?as=ann#1")
	bob := open(t, chrome, h.URL+"/?as=bob#1")
	for _, w := range []window{ann, bob} {
		w.Until(isLive)
		w.Says("article .text", "Good morning!")
		w.Says("nav a[aria-current] b", "general")
	}
	ann.write("Does this reach you?")
	bob.Says("article:not(.mine) .text", "Does this reach you?")
	ann.Says("article.mine .text", "Does this reach you?")
	bob.write("At once.")
	ann.Says("article:not(.mine) .text", "At once.")
	ann.Says("nav a[aria-current] small", "5")

	// A row that did not change keeps its element, so that nothing flickers.
	bob.Run(`window.kept = document.querySelector("article .text")`)
	h.SQL(t, `insert into messages (room_id, author, body) values (1, 'cid', '<b>From psql</b>')`)
	bob.Says("article .text", "<b>From psql</b>")
	bob.Until(`window.kept === document.querySelector("article .text")`)
	ann.Keep("chat-ann.png")
	bob.Dark()
	bob.Keep("chat-bob-dark.png")
}

func TestPageSaysWhatIsDeniedAndWhatFailed(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browsertest.New(t)
	ann := open(t, chrome, h.URL+"/?as=ann#3")
	ann.Says("#messages .empty", "This room is not yours")
	ann.Until(isLive)
	ann.Until(`document.querySelector("#body").disabled`)
	ann.Keep("chat-denied.png")
	// Let in, she reads without a reload.
	h.SQL(t, `insert into members (room_id, user_id) values (3, 'ann')`)
	ann.Says("article .text", "How do I leave a room?")

	// What is refused is said, and the text is not lost.
	h.SQL(t, `alter table messages add constraint quiet check (body not like '%forbidden%') not valid`)
	ann.write("a forbidden word")
	ann.Until(`!document.querySelector("#toast").hidden`)
	ann.Until(`document.querySelector("#body").value === "a forbidden word"`)
	ann.Keep("chat-toast.png")

	// Nobody's rooms.
	dan := open(t, chrome, h.URL+"/?as=dan")
	dan.Says("nav", "You are in no room yet")
	dan.Keep("chat-no-room.png")
	dan.Do(chromedp.EmulateViewport(390, 700, chromedp.EmulateMobile), chromedp.Navigate(h.URL+"/?as=cid#1"))
	dan.Says("article .text", "Good morning!")
	dan.Keep("chat-phone.png")
}

// Access is live: who is taken out of a room by SQL sees the messages go, and is
// told; put back, they return. Nobody reloads anything.
func TestPageGoesDarkAndReturnsWithTheMembership(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browsertest.New(t)
	bob := open(t, chrome, h.URL+"/?as=bob#1")
	bob.Until(isLive)
	bob.Says("article .text", "Good morning!")
	bob.write("Still here.")
	bob.Says("article.mine .text", "Still here.")
	bob.Run(`document.querySelector("#body").value = "half a thought"`)
	h.SQL(t, `begin; delete from members where room_id = 1 and user_id = 'bob';
		insert into messages (room_id, author, body) values (1, 'ann', 'Bob is out.'); commit`)
	bob.Says("#messages .empty", "You are no longer in this room")
	bob.Until(`!document.querySelector("article")`)
	bob.Until(`document.querySelector("#body").disabled && document.querySelector("#title").textContent === "# general"`)
	bob.Until(`![...document.querySelectorAll("nav a b")].some(e => e.textContent === "general")`)
	bob.Until(isLive)
	bob.Keep("chat-taken-out.png")
	bob.Dark()
	bob.Keep("chat-taken-out-dark.png")

	h.SQL(t, `insert into members (room_id, user_id) values (1, 'bob')`)
	bob.Says("article .text", "Bob is out.")
	bob.Says("article.mine .text", "Still here.")
	bob.Says("nav a[aria-current] b", "general")
	bob.Until(`!document.querySelector("#body").disabled && document.querySelector("#body").value === "half a thought"`)
	bob.Keep("chat-back.png")
}

// D4: a page without weir.js hears every full result as a message.
func TestPlainEventSourceHearsChanges(t *testing.T) {
	t.Parallel()
	h := start(t)
	chrome := browsertest.New(t)
	w := open(t, chrome, h.URL+"/weir.d.ts")
	w.Run(`
		window.seen = []
		window.source = new EventSource("/v1/q/messages.list?room=1&as=ann")
		window.source.onmessage = e => { seen.push(JSON.parse(e.data).rows[0].body); document.title = seen.length }`)
	w.Until(`seen.length > 0`)
	h.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'plain')`)
	w.Until(`seen.at(-1) === "plain"`)
}
