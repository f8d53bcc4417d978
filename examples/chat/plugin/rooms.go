package main

import weir "weir/plugins/guest"

// Room is a room of the caller.
type Room struct {
	ID       int64    `json:"id"`
	Name     string   `json:"name"`
	Messages int64    `json:"messages"`
	Members  []Member `json:"members"`
}

// Member is somebody in a room.
type Member struct {
	RoomID int64  `json:"room_id"`
	User   string `json:"user"`
}

// MineArgs is all that these functions know of their caller.
type MineArgs struct {
	Me string `claim:"sub"`
}

// The host fills $rooms with the ids of the rooms above it.
var members = weir.Select[struct{ Rooms []int64 }, Member](`
	select room_id, user_id as "user" from members
	where room_id = any($rooms) order by room_id, user_id`)

var rooms = weir.Select[MineArgs, Room](`
	select r.id, r.name, count(m.id) as messages
	from rooms r
	join members me on me.room_id = r.id and me.user_id = $me
	left join messages m on m.room_id = r.id
	group by r.id, r.name
	order by r.name`,
	weir.Key("id"), weir.Nest("members", "id", members, "room_id"))

// Summary is the caller's chat in numbers.
type Summary struct {
	Rooms    int    `json:"rooms"`
	Messages int64  `json:"messages"`
	Busiest  string `json:"busiest" doc:"the room with most messages, if any"`
}

// summary is computed: typed rows in, any value out, as live as a SELECT.
func summary(c *weir.Call, a MineArgs) (Summary, error) {
	var s Summary
	most := int64(0)
	err := rooms.Each(c, a, func(r Room) error {
		s.Rooms++
		s.Messages += r.Messages
		if r.Messages > most {
			most, s.Busiest = r.Messages, r.Name
		}
		return nil
	})
	return s, err
}
