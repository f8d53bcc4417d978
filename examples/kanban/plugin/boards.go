package main

import weir "weir/plugins/guest"

// Board is a board of the caller.
type Board struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	Members []Member `json:"members"`
}

// Member is somebody on a board.
type Member struct {
	BoardID int64  `json:"board_id"`
	User    string `json:"user"`
}

// The host fills $boards with the ids of the boards above it.
var members = weir.Select[struct{ Boards []int64 }, Member](`
	select board_id, user_id as "user" from members
	where board_id = any($boards) order by board_id, user_id`)

var boards = weir.Select[struct {
	Me string `claim:"sub"`
}, Board](`
	select b.id, b.name from boards b
	join members m on m.board_id = b.id and m.user_id = $me
	order by b.name, b.id`,
	weir.Key("id"), weir.Nest("members", "id", members, "board_id"))
