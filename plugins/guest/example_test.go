package weir_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

type noteArgs struct {
	Me    string `claim:"sub"`
	Limit int    `weir:"min=1,max=100,default=20"`
}

type note struct {
	ID   int64
	Text string
}

var notes = weir.Select[noteArgs, note](`select id, text from notes
	where owner = $me order by id desc limit $limit`, weir.Key("id"))

type writeArgs struct {
	Me   string `claim:"sub"`
	Text string `weir:"maxlen=200"`
}

var write = weir.Exec[writeArgs, note](`insert into notes (owner, text)
	values ($me, $text) returning id, text`)

func addNote(c *weir.Call, a writeArgs) (note, error) {
	if strings.TrimSpace(a.Text) == "" {
		return note{}, weir.Fail("empty", "write something first")
	}
	return write.One(c, a)
}

// One statement is a whole query: the host runs it, and keeps it live.
func ExampleSelect() {
	weir.Query("notes.list", notes, weir.SignedIn())

	// In a handler or a test, the statement is called.
	c := weirtest.Call(weirtest.Fake(notes, note{2, "tea"}, note{1, "milk"}))
	rows, err := notes.All(c, noteArgs{Me: "ann"})
	fmt.Println(rows, err)
	// Output: [{2 tea} {1 milk}] <nil>
}

// A handler is plain Go, in the plugin and in its tests.
func ExampleFunc() {
	weir.Mutation("notes.add", weir.Func(addNote), weir.SignedIn())

	c := weirtest.Call(weirtest.Fake(write, note{7, "tea"}))
	n, err := addNote(c, writeArgs{Me: "ann", Text: "tea"})
	fmt.Println(n, err)
	fmt.Println(weirtest.Asked(c, write))
	// Output:
	// {7 tea} <nil>
	// [{ann tea}]
}

// The client sees what Fail says; of other errors it sees only "internal".
func ExampleFail() {
	_, err := addNote(weirtest.Call(), writeArgs{Me: "ann"})
	var failed *weir.Error
	fmt.Println(errors.As(err, &failed), failed.Code, failed.Public)
	// Output: true empty true
}

// The number of rows that a command touched.
func ExampleCommand_Run() {
	clear := weir.Exec[noteArgs, weir.None](`delete from notes where owner = $me`)
	c := weirtest.Call(weirtest.Affected(clear, 3))
	fmt.Println(clear.Run(c, noteArgs{Me: "ann"}))
	// Output: 3 <nil>
}

// Each keeps one page in memory.
func ExampleRows_Each() {
	c := weirtest.Call(weirtest.Fake(notes, note{2, "tea"}, note{1, "milk"}))
	rows, _ := notes.Rows(c, noteArgs{Me: "ann"})
	_ = rows.Each(func(n note) error {
		fmt.Println(n.Text)
		return nil
	})
	// Output:
	// tea
	// milk
}

// A policy that depends on the time says when to ask again.
func ExampleDecide() {
	open := func(c *weir.Call, _ struct{}) (weir.Decision, error) {
		now := c.Now()
		nine := time.Date(now.Year(), now.Month(), now.Day(), 9, 0, 0, 0, time.UTC)
		if now.Before(nine) {
			return weir.Deny("come back at nine").Until(nine), nil
		}
		return weir.Allow(), nil
	}
	weir.Decide("open", open)

	d, _ := open(weirtest.Call(weirtest.Now(time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC))), struct{}{})
	fmt.Println(d.Allowed(), d.Reason())
	// Output: false come back at nine
}

// A query that depends on the time passes it on, and asks to be woken.
func ExampleCall_WakeAt() {
	handler := func(c *weir.Call, _ struct{}) (string, error) {
		next := c.Now().Truncate(time.Hour).Add(time.Hour)
		return c.Now().Format("15:04"), c.WakeAt(next)
	}
	c := weirtest.Call(weirtest.Now(time.Date(2026, 1, 1, 8, 20, 0, 0, time.UTC)))
	fmt.Println(handler(c, struct{}{}))
	at, _ := weirtest.WakeAt(c)
	fmt.Println(at.Format("15:04"))
	// Output:
	// 08:20 <nil>
	// 09:00
}

// Lines for the operator.
func ExampleCall_Info() {
	c := weirtest.Call()
	c.Info("posted", "room", 7, "by", "ann")
	fmt.Println(weirtest.Logs(c)[0].Text)
	// Output: posted room=7 by=ann
}
