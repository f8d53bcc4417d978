package main

import (
	"strings"
	"time"

	weir "weir/plugins/guest"
)

// Poster is one poster of the caller. Job and Run are what to follow with
// weir.job and weir.workflow.
type Poster struct {
	ID        int64     `json:"id"`
	Title     string    `json:"title"`
	Style     string    `json:"style"`
	Job       string    `json:"job"`
	Run       *string   `json:"run"`
	OrderedAt time.Time `json:"ordered_at"`
}

// Mine is all that is known of the caller: issuer and subject, as jobs have it.
type Mine struct {
	Me string `claim:"principal"`
}

var mine = weir.Select[Mine, Poster](`
	select id, title, style, job_id::text as job, run_id::text as run, ordered_at
	from posters where owner = $me order by id desc limit 24`, weir.Key("id"))

// OneArgs names a poster of the caller.
type OneArgs struct {
	Me string `claim:"principal"`
	ID int64  `json:"id"`
}

var picture = weir.Select[OneArgs, struct {
	ID      int64
	Picture []byte
}](`select id, picture from posters where id = $id and owner = $me and picture is not null`, weir.Key("id"))

// OrderArgs is a new poster.
type OrderArgs struct {
	Me    string `claim:"principal"`
	Title string `json:"title" weir:"maxlen=60"`
	Style string `json:"style" weir:"enum=dunes|waves|stars"`
}

// Ordered is what became of an order.
type Ordered struct {
	ID int64 `json:"id"`
}

// The poster and its job, in one statement. The job belongs to the caller: only
// he may follow it.
var create = weir.Exec[OrderArgs, Ordered](`
	insert into posters (owner, title, style, job_id) values ($me, $title, $style,
		weir.job_create('poster.paint', jsonb_build_object('title', $title::text, 'style', $style::text), queue => 'posters', owner => $me))
	returning id`)

func order(c *weir.Call, a OrderArgs) (Ordered, error) {
	a.Title = strings.TrimSpace(a.Title)
	if a.Title == "" {
		return Ordered{}, weir.Fail("empty", "give the poster a title")
	}
	return create.One(c, a)
}

// CancelArgs names a job of the caller.
type CancelArgs struct {
	Me  string `claim:"principal"`
	Job string `json:"job" weir:"format=uuid"`
}

// The owner is checked by weir: another's job is not cancelled.
var cancel = weir.Exec[CancelArgs, struct{ Cancelled bool }](`select weir.job_cancel($job::uuid, $me) as cancelled`)

var discard = weir.Exec[OneArgs, struct{ Cancelled bool }](`
	delete from posters where id = $id and owner = $me returning weir.job_cancel(job_id, $me) as cancelled`)
