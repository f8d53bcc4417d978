// Command plugin is a plugin as authors write them: a policy on a role and an
// owner, a query that passes rows on by handle, and one that reads and writes
// them as JSON itself.
package main

import (
	"encoding/json"
	"time"

	weir "weir/plugins/guest"
)

type none struct{}

// Row is what the queries are about.
type Row struct {
	ID     int64     `json:"id"`
	RoomID int64     `json:"room_id"`
	Author string    `json:"author"`
	Body   string    `json:"body"`
	SentAt time.Time `json:"sent_at"`
	State  string    `json:"state"`
	Score  float64   `json:"score"`
	N      int32     `json:"n"`
}

var rows = weir.Select[none, Row](`select id, room_id, author, body, sent_at, state, score, n from messages order by id`, weir.Key("id"))

func pass(c *weir.Call, a none) (weir.Rows[Row], error) { return rows.Rows(c, a) }

type text struct {
	JSON string `json:"json"`
}

func through(_ *weir.Call, a text) (text, error) {
	var all []Row
	if err := json.Unmarshal([]byte(a.JSON), &all); err != nil {
		return text{}, err
	}
	out, err := json.Marshal(all)
	return text{string(out)}, err
}

type mayArgs struct {
	Owner string
	Role  string `claim:"role"`
	Me    string `claim:"sub"`
}

var may = weir.Decide("may", func(_ *weir.Call, a mayArgs) (weir.Decision, error) {
	if a.Role == "admin" || a.Role == "editor" && a.Owner == a.Me {
		return weir.Allow(), nil
	}
	return weir.Deny("not_yours"), nil
})

func init() {
	weir.Plugin("peers", "1.0.0")
	weir.Query("rows.pass", weir.Func(pass), weir.SignedIn(), weir.Uses(rows))
	weir.Query("rows.through", weir.Func(through), weir.SignedIn())
	weir.Query("rows.guarded", weir.Func(func(*weir.Call, mayOwner) (text, error) { return text{}, nil }), weir.Require(may))
}

type mayOwner struct{ Owner string }

func main() {}
