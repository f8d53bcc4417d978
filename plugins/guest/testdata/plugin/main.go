// Command plugin is built by the tests and run on a host of a hundred lines.
package main

import (
	"runtime"

	weir "weir/plugins/guest"
)

type roomArgs struct {
	Room int64
	Me   string `claim:"sub"`
}

type message struct {
	ID   int64
	Body string
}

type total struct {
	Count int
	Bytes int
	Me    string
}

var messages = weir.Select[roomArgs, message](`select id, body from messages where room = $room`)

func sum(c *weir.Call, a roomArgs) (total, error) {
	t := total{Me: a.Me}
	if a.Room < 0 {
		panic("a room below zero")
	}
	if a.Room == 0 {
		return t, weir.Fail("no_room", "there is no room 0")
	}
	c.Info("summing", "room", a.Room)
	err := messages.Each(c, a, func(m message) error {
		t.Count++
		t.Bytes += len(m.Body)
		return nil
	})
	return t, err
}

// cross reads all rows inside the reading of the first.
func cross(c *weir.Call, a roomArgs) (ids int64, err error) {
	err = messages.Each(c, a, func(m message) error {
		ids += m.ID
		if m.ID > 0 {
			return nil
		}
		return messages.Each(c, a, func(m message) error {
			ids += m.ID
			return nil
		})
	})
	return ids, err
}

// greet returns what the operator configured.
func greet(c *weir.Call, _ weir.None) (string, error) {
	text, ok := c.Config("greeting")
	if !ok {
		return "", weir.Fail("silent", "no greeting is configured")
	}
	return text, nil
}

// first is the first caller that the policy saw.
var first string

var anyone = weir.Decide("anyone", func(_ *weir.Call, a struct {
	Me string `claim:"sub"`
},
) (weir.Decision, error) {
	if first == "" {
		first = a.Me
	}
	if a.Me == first {
		return weir.Allow(), nil
	}
	return weir.Deny("not the first"), nil
})

// kept returns who was first, and how many allocations the guest has made.
func kept(*weir.Call, weir.None) (struct {
	First   string
	Mallocs uint64
}, error,
) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return struct {
		First   string
		Mallocs uint64
	}{first, stats.Mallocs}, nil
}

func init() {
	weir.Plugin("wasm", "0.0.1")
	weir.Query("greet", weir.Func(greet), weir.Public())
	weir.Query("sum", weir.Func(sum), weir.Public())
	weir.Query("pass", weir.Func(messages.Rows), weir.Public())
	weir.Query("cross", weir.Func(cross), weir.Public())
	weir.Query("direct", messages, weir.Public())
	weir.Query("kept", weir.Func(kept), weir.Require(anyone))
}

func main() {}
