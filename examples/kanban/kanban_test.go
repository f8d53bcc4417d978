// Package kanban tests the board as a person uses it: the example's own
// configuration, schema, plugin and page.
package kanban

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
	"weir/host/hosttest/browsertest"
)

func TestMain(m *testing.M) {
	hosttest.Child()
	devdbtest.Main(m)
}

// page builds the page once. What the machine lacks for it is missing; a page that
// does not compile is broken.
var page = sync.OnceValues(func() (missing, broken error) {
	npm := func(args ...string) error {
		cmd := exec.Command("npm", args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "page", os.Stderr, os.Stderr
		return cmd.Run()
	}
	version, err := exec.Command("node", "--version").Output()
	if err != nil {
		return err, nil
	}
	if major, _ := strconv.Atoi(strings.Split(strings.TrimPrefix(string(version), "v"), ".")[0]); major < 20 {
		return fmt.Errorf("node is %s", version), nil
	}
	if err := npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		return fmt.Errorf("npm ci: %w", err), nil
	}
	return nil, npm("run", "build")
})

// starting lets one host compile the plugin, and the others find it compiled.
var starting sync.Mutex

// start starts the whole example. Its time limits are those of a machine that does
// much else, under the race detector.
func start(t *testing.T) *hosttest.Server {
	t.Helper()
	missing, broken := page()
	if broken != nil {
		t.Fatalf("the page does not build: %v", broken)
	}
	if missing != nil {
		_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: " + missing.Error() + ". Install Node.js 20 or newer. ***\n\n")
		t.Skip("the page cannot be built")
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	limits := `
[limits]
compile_timeout  = "2m"
guest_timeout    = "10s"
policy_timeout   = "10s"
query_timeout    = "30s"
mutation_timeout = "30s"
`
	starting.Lock()
	defer starting.Unlock()
	return hosttest.Start(t, hosttest.Config{
		TOML: read("weir.toml") + limits, Schema: read("schema.sql"), Seed: read("seed.sql"), Plugins: []string{"plugin"},
	})
}

// The page is compiled against what `weir types` says of the plugin now.
func TestTypesAreThoseOfThePlugin(t *testing.T) {
	t.Parallel()
	s := start(t)
	cmd := exec.Command("go", "run", "weir/cmd/weir", "types", "--plugins", s.Plugins)
	cmd.Stderr = os.Stderr
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("page/src/weir-types.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("page/src/weir-types.d.ts is old: write it again with `weir types --plugins plugins`. It should be\n%s", want)
	}
}

// column is an expression for the titles in a list of the page, in order.
func column(list string) string {
	return `[...document.querySelectorAll('[data-list="` + list + `"] .card p')].map(e => e.textContent).join("|")`
}

const (
	isLive = `document.querySelector("main")?.dataset.status === "live"`
	// scripts give the page what a hand does with a mouse.
	script = `
		window.card = title => [...document.querySelectorAll(".card")].find(c => c.textContent.includes(title))
		window.drag = (title, list, below) => {
			const dataTransfer = new DataTransfer(), to = document.querySelector('[data-list="' + list + '"]')
			const at = below ? card(below).getBoundingClientRect().bottom - 1 : to.getBoundingClientRect().top + 1
			const fire = (target, type) => target.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true, clientY: at }))
			const from = card(title)
			fire(from, "dragstart"); fire(to, "dragover")
			requestAnimationFrame(() => { fire(to, "drop"); fire(from, "dragend") })
		}`
)

func open(t *testing.T, s *hosttest.Server, who string) browsertest.Window {
	t.Helper()
	w := browsertest.Open(t, browsertest.New(t), s.URL+"/?as="+who+"#1")
	w.Until(isLive)
	w.Says(".card", "Dark mode")
	w.Run(script)
	return w
}

// Two people on one board: what one drags, adds and edits the other sees in place.
func TestTwoPeopleOnOneBoard(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann, bob := open(t, s, "ann"), open(t, s, "bob")
	ann.Until(column("todo") + ` === "Write the upgrade notes|Keyboard shortcuts|Search forgets its text on reload"`)

	ann.Run(`drag("Keyboard shortcuts", "doing", "Faster first paint")`)
	for _, w := range []browsertest.Window{ann, bob} {
		w.Until(column("doing") + ` === "Faster first paint|Keyboard shortcuts|Dates in the reader's own format"`)
	}
	ann.Run(`drag("Choose a name", "todo")`) // to the top
	bob.Until(column("todo") + ` === "Choose a name|Write the upgrade notes|Search forgets its text on reload"`)

	// By keys, as well: right, down, and nothing happens at an end.
	bob.Run(`card("Choose a name").focus()`)
	bob.Key("ArrowRight", 39, 1)
	ann.Until(column("doing") + ` === "Choose a name|Faster first paint|Keyboard shortcuts|Dates in the reader's own format"`)
	bob.Run(`card("Choose a name").focus()`)
	bob.Key("ArrowDown", 40, 1)
	ann.Until(column("doing") + ` === "Faster first paint|Choose a name|Keyboard shortcuts|Dates in the reader's own format"`)

	// n is for a new card.
	bob.Run(`document.activeElement.blur()`)
	bob.Run(`document.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true }))`)
	bob.Type(".column form input", "A card of bob's\r")
	ann.Until(column("todo") + `.endsWith("|A card of bob's")`)

	ann.Run(`card("A card of bob's").click()`)
	ann.Click(`dialog [aria-label="Give to cid"]`)
	ann.Click(`dialog .label.bug`)
	bob.Says(".card .label.bug", "bug")
	bob.Until(`card("A card of bob's").textContent.includes("ci")`)
	ann.Keep("kanban-dialog.png")
	ann.Click("dialog .row:last-child button:last-child")
	ann.Keep("kanban-ann.png")
	bob.Dark()
	bob.Keep("kanban-bob-dark.png")
}

// Filters are live queries: a card enters and leaves them as others change it.
func TestFiltersAreLive(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann := open(t, s, "ann")
	ann.Click(`[aria-label="Only bob"]`)
	ann.Until(`document.querySelectorAll(".card").length === 2`)
	ann.Click(`.filters .label.idea`)
	ann.Until(`document.querySelectorAll(".card").length === 1`)
	s.SQL(t, `update cards set assignee = 'bob' where title = 'Keyboard shortcuts'`)
	ann.Says(".card", "Keyboard shortcuts")
	s.SQL(t, `update cards set label = 'bug' where title = 'Keyboard shortcuts'`)
	ann.Until(`!card("Keyboard shortcuts")`)
	ann.Click(".filters .quiet")
	ann.Until(`document.querySelectorAll(".card").length === 7`)
	ann.Type(".filters input", "stylesheet") // in a note
	ann.Until(column("doing") + ` === "Faster first paint" && document.querySelectorAll(".card").length === 1`)

	// A move inside a filter is behind what is seen there.
	ann.Run(`drag("Faster first paint", "done")`)
	ann.Until(column("done") + ` === "Faster first paint"`)
	ann.Keep("kanban-filtered.png")
}

// What a person does is shown at once, and taken back when it is refused.
func TestMovesAreShownAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann := open(t, s, "ann")
	tx, err := s.DB.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table cards in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ann.Run(`drag("Dark mode", "done")`)
	ann.Until(column("done") + ` === "Dark mode|Choose a name"`) // nothing is written yet
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.Until(`!document.querySelector(".toast")`)
	s.SQL(t, `update cards set title = 'Dark mode, done' where title = 'Dark mode'`)
	ann.Until(column("done") + ` === "Dark mode, done|Choose a name"`)

	s.SQL(t, `alter table cards add constraint full_up check (list <> 'review') not valid`)
	ann.Run(`drag("Choose a name", "review")`)
	ann.Until(`document.querySelector(".toast")`)
	ann.Until(column("done") + ` === "Dark mode, done|Choose a name"`)
	ann.Keep("kanban-refused.png")
}

func TestArchiveAndBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann := open(t, s, "ann")
	ann.Click(`.bar [aria-expanded]`)
	ann.Says(".drawer", "Nothing was put away")
	ann.Run(`card("Choose a name").click()`)
	ann.Click("dialog .row:last-child .quiet")
	ann.Until(column("done") + ` === ""`)
	ann.Says(".drawer .card", "Choose a name")
	ann.Keep("kanban-archive.png")
	ann.Click(".drawer .card .quiet")
	ann.Until(column("done") + ` === "Choose a name"`)
	ann.Says(".drawer", "Nothing was put away")
}

// Access is live: the board of who is taken off goes dark, and comes back.
func TestBoardGoesDarkAndReturns(t *testing.T) {
	t.Parallel()
	s := start(t)
	bob := open(t, s, "bob")
	bob.Until(isLive)
	s.SQL(t, `begin; delete from members where board_id = 1 and user_id = 'bob';
		update cards set title = 'A secret' where title = 'Dark mode'; commit`)
	bob.Says(".empty", "This board is not yours")
	bob.Until(`!document.querySelector(".card") && !document.body.textContent.includes("A secret")`)
	bob.Keep("kanban-denied.png")
	s.SQL(t, `insert into members values (1, 'bob')`)
	bob.Says(".card", "A secret")
	bob.Says(".top nav a[aria-current]", "Spring release")
}
