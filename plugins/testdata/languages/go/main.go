// Command go is the sample in Go: what the samples beside it say in their languages,
// with equal manifests, results and errors.
package main

import (
	"errors"
	"strings"
	"time"

	weir "weir/plugins/guest"
)

// Short is a note in a list.
type Short struct {
	ID    int64
	Title string
	Price *string `weir:"format=decimal"`
}

// ListArgs is a page of a box.
type ListArgs struct {
	Box    int64
	Title  *string `doc:"only what is called that"`
	Before *int64
	Limit  int64 `weir:"min=1,max=100,default=10"`
}

var list = weir.Select[ListArgs, Short](
	`select id, title, price from notes where box = $box {and title = $title} {and id < $before} order by id desc limit $limit`,
	weir.Key("id"))

// BoxArgs names a box.
type BoxArgs struct {
	Box int64
}

// Note is a whole note.
type Note struct {
	ID    int64
	Title string
	Image *[]byte
	Price *string `weir:"format=decimal"`
	At    *time.Time
	Score *float64
	Done  *bool
	Tags  *[]string
	Meta  *weir.JSON
}

var read = weir.Select[BoxArgs, Note](
	`select id, title, image, price, at, score, done, tags, meta from notes where box = $box order by id`)

// Nested is a note in its box.
type Nested struct {
	Box   int64
	Title string
}

// Box is a box and what is in it.
type Box struct {
	ID    int64
	Name  string
	Notes []Nested
}

var nested = weir.Select[struct{ Boxes []int64 }, Nested](
	`select box, title from notes where box = any($boxes) order by box, id`)

var boxes = weir.Select[struct{}, Box](`select id, name from boxes order by id`,
	weir.Key("id"), weir.Nest("notes", "id", nested, "box"))

var reader = weir.AllowIf[struct {
	Box int64
	Me  string `claim:"sub"`
}]("reader", `select 1 from readers where box = $box and user_id = $me`)

// Ban is why somebody may not read.
type Ban struct {
	Banned *string
}

// BanArgs names somebody in a box.
type BanArgs struct {
	Box int64
	Me  string `claim:"sub"`
}

var bans = weir.Select[BanArgs, Ban](`select banned from readers where box = $box and user_id = $me`)

// OpenArgs is what the policy sees.
type OpenArgs struct {
	Box      int64
	Me       string `claim:"sub"`
	Action   string `weir:"action"`
	Function string `weir:"function"`
}

var open = weir.Decide("open", func(c *weir.Call, a OpenArgs) (weir.Decision, error) {
	ban, ok, err := bans.First(c, BanArgs{Box: a.Box, Me: a.Me})
	switch {
	case err != nil:
		return weir.Decision{}, err
	case !ok:
		return weir.Deny(""), nil
	case ban.Banned != nil:
		return weir.Deny(a.Me + " ist gesperrt: " + *ban.Banned), nil
	}
	return weir.Allow().Scope("seen", a.Me+"/"+a.Action+"/"+a.Function).Scope("inside", a.Box).Until(c.Now().Add(time.Hour)), nil
}, weir.Uses(bans))

// Summary is a box in numbers.
type Summary struct {
	Count   int64
	Largest *int64
	Letters int64
	Score   float64
	Titles  []string
}

func summary(c *weir.Call, a BoxArgs) (Summary, error) {
	s := Summary{Titles: []string{}}
	err := read.Each(c, a, func(n Note) error {
		s.Count++
		s.Letters += int64(len(n.Title))
		if s.Largest == nil || n.ID > *s.Largest {
			s.Largest = &n.ID
		}
		if n.Score != nil {
			s.Score += *n.Score
		}
		s.Titles = append(s.Titles, n.Title)
		return nil
	})
	return s, err
}

func all(c *weir.Call, a BoxArgs) ([]Note, error) { return read.All(c, a) }

// odd passes the notes with an odd number on, the last one first, unread.
func odd(c *weir.Call, a BoxArgs) (weir.Rows[Note], error) {
	rows, err := read.Rows(c, a)
	if err != nil {
		return rows, err
	}
	var picked []uint32
	at := uint32(0)
	err = rows.Each(func(n Note) error {
		if n.ID%2 != 0 {
			picked = append([]uint32{at}, picked...)
		}
		at++
		return nil
	})
	if err != nil {
		return rows, err
	}
	return rows.Pick(picked)
}

// passed passes rows on that it never looked at.
func passed(c *weir.Call, a BoxArgs) (weir.Rows[Note], error) { return read.Rows(c, a) }

// ScopedArgs is what a policy put into the scope.
type ScopedArgs struct {
	Box    int64
	Seen   string `scope:"seen"`
	Inside int64  `scope:"inside"`
}

// Scoped is that.
type Scoped struct {
	Seen   string
	Inside int64
}

func scoped(_ *weir.Call, a ScopedArgs) (Scoped, error) { return Scoped{a.Seen, a.Inside}, nil }

// Point is an object inside of arguments.
type Point struct {
	X     int64
	Label *string
}

// EchoArgs has every type.
type EchoArgs struct {
	I    int64
	N    int32
	F    float64
	B    bool
	S    string
	Y    []byte
	At   time.Time
	D    string `weir:"format=date"`
	U    string `weir:"format=uuid"`
	P    string `weir:"format=decimal"`
	J    weir.JSON
	E    string  `weir:"enum=up|down"`
	O    *string `weir:"minlen=1,maxlen=3"`
	Six  int64   `weir:"default=6"`
	Half float64 `weir:"default=0.5,min=-1"`
	List []Point `weir:"maxlen=4"`
	Nums []int64
}

func echo(_ *weir.Call, a EchoArgs) (EchoArgs, error) { return a, nil }

// AddArgs is a new note.
type AddArgs struct {
	ID    int64
	Box   int64
	Title string  `weir:"maxlen=40"`
	Price *string `weir:"format=decimal"`
	Image *[]byte
	At    *time.Time
}

var insert = weir.Exec[AddArgs, Short](
	`insert into notes (id, box, title, price, image, at) values ($id, $box, $title, $price, $image, $at) returning id, title, price`)

func add(c *weir.Call, a AddArgs) (Short, error) {
	a.Title = strings.Trim(a.Title, " ")
	if a.Title == "" {
		return Short{}, weir.Fail("empty", "schreib erst etwas: „Hallo“")
	}
	return insert.One(c, a)
}

var remove = weir.Exec[BoxArgs, weir.None](`delete from notes where box = $box`)

func clear(c *weir.Call, a BoxArgs) (int64, error) { return remove.Run(c, a) }

// FailArgs says how to fail.
type FailArgs struct {
	How string
}

func fails(_ *weir.Call, a FailArgs) (weir.None, error) {
	switch a.How {
	case "public":
		return weir.None{}, weir.Fail("teapot", "kurz und stämmig")
	case "retry":
		return weir.None{}, &weir.Error{Code: "busy", Message: "later", Public: true, Retryable: true}
	case "internal":
		return weir.None{}, errors.New("for the log only")
	}
	return weir.None{}, nil
}

// KeyArgs names a key of the configuration.
type KeyArgs struct {
	Key string
}

func setting(c *weir.Call, a KeyArgs) (*string, error) {
	value, ok := c.Config(a.Key)
	if !ok {
		return nil, nil
	}
	return &value, nil
}

func later(c *weir.Call, _ struct{}) (bool, error) {
	c.Info("läuft")
	return c.Now().Year() > 2020, c.WakeAt(c.Now().Add(time.Hour))
}

func init() {
	weir.Plugin("sample", "1.0.0")
	weir.Query("boxes.list", boxes, weir.Public())
	weir.Query("clock.later", weir.Func(later), weir.Public(), weir.Uses())
	weir.Query("config.get", weir.Func(setting), weir.Public(), weir.Uses())
	weir.Query("fail.how", weir.Func(fails), weir.Public(), weir.Uses())
	weir.Mutation("notes.add", weir.Func(add), weir.Require(reader), weir.Uses(insert))
	weir.Query("notes.all", weir.Func(all), weir.Require(reader), weir.Uses(read))
	weir.Mutation("notes.clear", weir.Func(clear), weir.SignedIn(), weir.Uses(remove))
	weir.Query("notes.list", list, weir.Require(reader), weir.Doc("The newest notes of a box."))
	weir.Query("notes.odd", weir.Func(odd), weir.Require(reader), weir.Uses(read))
	weir.Query("notes.passed", weir.Func(passed), weir.Require(reader), weir.Uses(read))
	weir.Query("notes.scoped", weir.Func(scoped), weir.Require(open), weir.Uses())
	weir.Query("notes.summary", weir.Func(summary), weir.Require(reader), weir.Uses(read))
	weir.Query("values.echo", weir.Func(echo), weir.Public(), weir.Uses())
}

func main() {}
