// Command door is a plugin whose policy is written in Go, for the tests of host:
// a badge lets its owner in from a time until a time.
package main

import (
	"time"

	weir "weir/plugins/guest"
)

type mine struct {
	Me string `claim:"sub"`
}

type badge struct {
	Since, Until time.Time
}

var badges = weir.Select[mine, badge](`select since, until from badges where user_id = $me order by until`)

var open = weir.Decide("open", func(c *weir.Call, a mine) (weir.Decision, error) {
	list, err := badges.All(c, a)
	if err != nil {
		return weir.Decision{}, err
	}
	now := c.Now()
	for _, b := range list {
		switch {
		case now.Before(b.Since):
			return weir.Deny("too early").Until(b.Since), nil
		case now.Before(b.Until):
			return weir.Allow().Until(b.Until), nil
		}
	}
	return weir.Deny("no badge"), nil
}, weir.Uses(badges))

type room struct {
	Room int64 `json:"room"`
}

type note struct {
	Seq  int64  `json:"seq"`
	Body string `json:"body"`
}

var list = weir.Select[room, note](`select seq, body from notes where room = $room order by seq desc limit 20`, weir.Key("seq"))

func init() {
	weir.Plugin("door", "1.0.0")
	weir.Query("notes.list", list, weir.Require(open))
}

func main() {}
