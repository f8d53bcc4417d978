package main

import (
	"strings"
	"time"

	weir "weir/plugins/guest"
)

// Message is one message of a room.
type Message struct {
	ID     int64     `json:"id"`
	Author string    `json:"author"`
	Body   string    `json:"body"`
	SentAt time.Time `json:"sent_at"`
}

// ListArgs asks for the newest messages of a room.
type ListArgs struct {
	Room   int64   `json:"room"`
	Author *string `json:"author" doc:"only what this person wrote"`
	Before *int64  `json:"before" doc:"next page: the last id you have"`
	Limit  int     `json:"limit" weir:"min=1,max=200,default=50"`
}

// One statement, no handler: the host runs it and no row enters the plugin. The
// parts in braces are there only when their argument is.
var list = weir.Select[ListArgs, Message](`
	select id, author, body, sent_at from messages
	where room_id = $room {and author = $author} {and id < $before}
	order by id desc limit $limit`, weir.Key("id"))

// PostArgs is a new message. Me comes from the caller's token: a client cannot
// set it.
type PostArgs struct {
	Me   string `claim:"sub"`
	Room int64  `json:"room"`
	Body string `json:"body" weir:"maxlen=4000"`
}

var insert = weir.Exec[PostArgs, Message](`
	insert into messages (room_id, author, body) values ($room, $me, $body)
	returning id, author, body, sent_at`)

func post(c *weir.Call, a PostArgs) (Message, error) {
	a.Body = strings.TrimSpace(a.Body)
	if a.Body == "" {
		return Message{}, weir.Fail("empty", "write something first")
	}
	return insert.One(c, a)
}
