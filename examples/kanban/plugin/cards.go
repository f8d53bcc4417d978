package main

import (
	"strings"
	"time"

	weir "weir/plugins/guest"
)

// ID is a card's.
type ID = [16]byte

// Card is a card as the board shows it. Position is for the order only.
type Card struct {
	ID       ID      `json:"id"`
	List     string  `json:"list"`
	Title    string  `json:"title"`
	Note     string  `json:"note"`
	Label    string  `json:"label"`
	Assignee *string `json:"assignee"`
}

// ListArgs asks for a board, or for what of it fits the filters.
type ListArgs struct {
	Board    int64   `json:"board"`
	Assignee *string `json:"assignee" doc:"only what this person does"`
	Label    *string `json:"label" doc:"only this label"`
	Text     *string `json:"text" weir:"maxlen=100" doc:"only titles and notes with this in them"`
}

var list = weir.Select[ListArgs, Card](`
	select id, list, title, note, label, assignee from cards
	where board_id = $board and archived_at is null
		{and assignee = $assignee} {and label = $label}
		{and strpos(lower(title || ' ' || note), lower($text)) > 0}
	order by list, position, id`, weir.Key("id"))

// Archived is a card that was put away.
type Archived struct {
	ID         ID        `json:"id"`
	Title      string    `json:"title"`
	List       string    `json:"list"`
	ArchivedAt time.Time `json:"archived_at"`
}

var archived = weir.Select[struct {
	Board int64 `json:"board"`
	Limit int   `json:"limit" weir:"min=1,max=200,default=50"`
}, Archived](`
	select id, title, list, archived_at from cards
	where board_id = $board and archived_at is not null
	order by archived_at desc, id limit $limit`, weir.Key("id"))

// AddArgs is a new card.
type AddArgs struct {
	Me    string `claim:"sub"`
	Board int64  `json:"board"`
	ID    ID     `json:"id" doc:"new, from crypto.randomUUID()"`
	List  string `json:"list"`
	Title string `json:"title" weir:"maxlen=200"`
}

var insert = weir.Exec[AddArgs, weir.None](`
	insert into cards (id, board_id, list, position, title, created_by)
	select $id, $board, $list, coalesce(max(position), 0) + 1, $title, $me
	from cards where board_id = $board and list = $list
	on conflict (id) do nothing`)

func add(c *weir.Call, a AddArgs) (weir.None, error) {
	a.Title = strings.TrimSpace(a.Title)
	if a.Title == "" {
		return weir.None{}, weir.Fail("empty", "a card needs a title")
	}
	if !known(a.List) {
		return weir.None{}, weir.Fail("no_list", "there is no such list")
	}
	_, err := insert.Run(c, a)
	return weir.None{}, err
}

// EditArgs is what is to change of a card; what is not given stays.
type EditArgs struct {
	Board    int64   `json:"board"`
	ID       ID      `json:"id"`
	Title    *string `json:"title" weir:"maxlen=200"`
	Note     *string `json:"note" weir:"maxlen=4000"`
	Label    *string `json:"label" doc:"bug, idea, chore, or empty for none"`
	Assignee *string `json:"assignee" doc:"a member; empty for nobody"`
}

var update = weir.Exec[EditArgs, weir.None](`
	update cards set
		title = coalesce($title, title), note = coalesce($note, note), label = coalesce($label, label),
		assignee = case when $assignee = '' then null else coalesce($assignee, assignee) end
	where id = $id and board_id = $board
		and (coalesce($assignee, '') = '' or exists (select from members where board_id = $board and user_id = $assignee))`)

func edit(c *weir.Call, a EditArgs) (weir.None, error) {
	if a.Title != nil {
		*a.Title = strings.TrimSpace(*a.Title)
		if *a.Title == "" {
			return weir.None{}, weir.Fail("empty", "a card needs a title")
		}
	}
	if a.Label != nil && *a.Label != "" && *a.Label != "bug" && *a.Label != "idea" && *a.Label != "chore" {
		return weir.None{}, weir.Fail("no_label", "a label is bug, idea or chore")
	}
	n, err := update.Run(c, a)
	return weir.None{}, found(n, err, "there is no such card, or nobody of that name on the board")
}

// MoveArgs puts a card into a list, behind another card or first.
type MoveArgs struct {
	Board int64  `json:"board"`
	ID    ID     `json:"id"`
	List  string `json:"list"`
	After *ID    `json:"after" doc:"the card above it; none for the top"`
}

// place finds the middle between the card above and the next one. The card itself
// does not count: a move onto its own place changes nothing.
var place = weir.Exec[MoveArgs, weir.None](`
	with above as (
		select position from cards where id = $after and board_id = $board and list = $list and archived_at is null
	), below as (
		select min(position) as position from cards
		where board_id = $board and list = $list and archived_at is null and id <> $id
			and position > coalesce((select position from above), '-infinity')
	)
	update cards set list = $list, position = case
		when exists (select from above) and below.position is not null then ((select position from above) + below.position) / 2
		when exists (select from above) then (select position from above) + 1
		else coalesce(below.position, 1) - 1
	end
	from below
	where cards.id = $id and cards.board_id = $board and cards.id is distinct from $after`)

func move(c *weir.Call, a MoveArgs) (weir.None, error) {
	if !known(a.List) {
		return weir.None{}, weir.Fail("no_list", "there is no such list")
	}
	n, err := place.Run(c, a)
	return weir.None{}, found(n, err, "there is no such card on this board")
}

// ArchiveArgs puts a card away, or back.
type ArchiveArgs struct {
	Board int64 `json:"board"`
	ID    ID    `json:"id"`
	Away  bool  `json:"away" weir:"default=true"`
}

var put = weir.Exec[ArchiveArgs, weir.None](`
	update cards set archived_at = case when $away then coalesce(archived_at, now()) end
	where id = $id and board_id = $board`)

func archive(c *weir.Call, a ArchiveArgs) (weir.None, error) {
	n, err := put.Run(c, a)
	return weir.None{}, found(n, err, "there is no such card on this board")
}

func known(list string) bool {
	return list == "todo" || list == "doing" || list == "review" || list == "done"
}

// found makes an error of a mutation that touched nothing.
func found(n int64, err error, otherwise string) error {
	if err == nil && n == 0 {
		return weir.Fail("no_card", otherwise)
	}
	return err
}
