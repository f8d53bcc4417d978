package main

import weir "weir/plugins/guest"

// A row allows. Take it away, and the board goes dark where it is open.
var member = weir.AllowIf[struct {
	Board int64
	Me    string `claim:"sub"`
}]("member", `select 1 from members where board_id = $board and user_id = $me`)

func init() {
	weir.Plugin("kanban", "1.0.0")
	weir.Query("boards.list", boards, weir.SignedIn(), weir.Doc("The caller's boards and who is on them."))
	weir.Query("cards.list", list, weir.Require(member), weir.Doc("The cards of a board, in order."))
	weir.Query("cards.archived", archived, weir.Require(member), weir.Doc("The newest cards that were put away."))
	weir.Mutation("cards.add", weir.Func(add), weir.Require(member), weir.Uses(insert), weir.Doc("A new card at the end of a list."))
	weir.Mutation("cards.edit", weir.Func(edit), weir.Require(member), weir.Uses(update), weir.Doc("Changes what is given of a card."))
	weir.Mutation("cards.move", weir.Func(move), weir.Require(member), weir.Uses(place), weir.Doc("Puts a card behind another one."))
	weir.Mutation("cards.archive", weir.Func(archive), weir.Require(member), weir.Uses(put), weir.Doc("Puts a card away, or back."))
}

func main() {}
