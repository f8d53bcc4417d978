package main

import weir "weir/plugins/guest"

// A policy that is one statement: a row allows. It is live like every query:
// take the row away and the stream goes dark.
var member = weir.AllowIf[struct {
	Room int64
	Me   string `claim:"sub"`
}]("member", `select 1 from members where room_id = $room and user_id = $me`)

func init() {
	weir.Plugin("chat", "1.0.0")
	weir.Query("messages.list", list, weir.Require(member), weir.Doc("The newest messages of a room."))
	weir.Query("rooms.list", rooms, weir.SignedIn(), weir.Doc("The caller's rooms and who is in them."))
	weir.Query("rooms.summary", weir.Func(summary), weir.SignedIn(), weir.Uses(rooms))
	weir.Mutation("messages.post", weir.Func(post), weir.Require(member), weir.Uses(insert))
}

func main() {}
