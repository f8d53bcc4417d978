package weir_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/abi"
	weir "weir/plugins/guest"
	"weir/plugins/guest/internal/door"
	"weir/plugins/guest/weirtest"
)

type itemArgs struct {
	Owner string `claim:"sub"`
	Limit int    `weir:"min=1,default=10"`
}

type item struct {
	ID    int64
	Name  *string
	Parts []part
	Due   time.Time
}

type part struct {
	Item int64
	Text string
}

var (
	parts = weir.Select[struct{ Items []int64 }, part](`select item, text from parts where item = any($items)`)
	items = weir.Select[itemArgs, item](`select id, name, due from items where owner = $owner order by id limit $limit`,
		weir.Key("id"), weir.Nest("parts", "id", parts, "item"))
	bare   = weir.Select[itemArgs, struct{ ID int64 }](`select id from items where owner = $owner`, weir.Nest("parts", "id", parts, "item"))
	remove = weir.Exec[itemArgs, weir.None](`delete from items where owner = $owner`)
	add    = weir.Exec[itemArgs, item](`insert into items (owner) values ($owner) returning id, name, due`)
)

func someItems(n int) []item {
	name := "x"
	out := make([]item, n)
	for i := range out {
		out[i] = item{ID: int64(i), Due: weirtest.Epoch}
		if i%2 == 1 {
			out[i].Name = &name
		}
	}
	return out
}

func same(a, b item) bool {
	return a.ID == b.ID && a.Due.Equal(b.Due) &&
		(a.Name == nil) == (b.Name == nil) && (a.Name == nil || *a.Name == *b.Name)
}

func TestRowsAreReadOverManyPages(t *testing.T) {
	t.Parallel()
	want := someItems(9_000) // some 220 KiB, four pages
	c := weirtest.Call(weirtest.Fake(items, want...))
	got, err := items.All(c, itemArgs{Owner: "ann"})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	seen := 0
	err = items.Each(c, itemArgs{Owner: "ann"}, func(i item) error {
		if !same(i, want[seen]) || !same(got[seen], want[seen]) {
			return fmt.Errorf("row %d: %+v and %+v, want %+v", seen, i, got[seen], want[seen])
		}
		seen++
		return nil
	})
	if err != nil || seen != len(want) {
		t.Errorf("%d rows, %v", seen, err)
	}
}

func TestARowLargerThanThePageIsRead(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 3*abi.InputBuffer)
	c := weirtest.Call(weirtest.Fake(items, item{ID: 1}, item{ID: 2, Name: &big}, item{ID: 3}))
	got, err := items.All(c, itemArgs{})
	if err != nil || len(got) != 3 || *got[1].Name != big || got[2].ID != 3 {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

// A handler may read rows while it reads rows.
func TestEachMayRunStatements(t *testing.T) {
	t.Parallel()
	want := someItems(3)
	c := weirtest.Call(weirtest.Fake(items, want...), weirtest.Fake(parts, part{1, "p"}))
	n := 0
	err := items.Each(c, itemArgs{}, func(i item) error {
		if !same(i, want[n]) {
			t.Errorf("row %d is %+v", n, i)
		}
		n++
		inner, err := parts.One(c, struct{ Items []int64 }{[]int64{i.ID}})
		if err == nil && inner.Text != "p" {
			t.Errorf("part %+v", inner)
		}
		return err
	})
	if err != nil || n != 3 {
		t.Errorf("%d rows, %v", n, err)
	}
	stop := errors.New("stop")
	if err := items.Each(c, itemArgs{}, func(item) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the function's own error", err)
	}
}

func TestOneWantsExactlyOneRow(t *testing.T) {
	t.Parallel()
	f := func(n int, want error, found bool) {
		t.Helper()
		c := weirtest.Call(weirtest.Fake(items, someItems(n)...), weirtest.Fake(add, someItems(n)...))
		if _, err := items.One(c, itemArgs{}); !errors.Is(err, want) {
			t.Errorf("One of %d rows: %v", n, err)
		}
		if _, err := add.One(c, itemArgs{}); !errors.Is(err, want) {
			t.Errorf("One of %d returned rows: %v", n, err)
		}
		if _, ok, err := items.First(c, itemArgs{}); ok != found || err != nil {
			t.Errorf("First of %d rows: %v %v", n, ok, err)
		}
		all, err := items.All(c, itemArgs{})
		if all == nil || len(all) != n || err != nil {
			t.Errorf("All of %d rows: %v %v", n, all, err)
		}
	}
	f(0, weir.ErrNoRow, false)
	f(1, nil, true)
	f(2, weir.ErrManyRows, true)
}

// The host sends pages of columns: a fake that filled nested rows in would let a
// handler rely on what it never gets.
func TestNestedRowsAreNotInAPage(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(items, item{ID: 7, Parts: []part{{7, "a"}}}), weirtest.Fake(bare, struct{ ID int64 }{8}))
	got, err := items.One(c, itemArgs{})
	if err != nil || got.ID != 7 || got.Parts != nil {
		t.Errorf("got %+v %v", got, err)
	}
	if got, err := bare.One(c, itemArgs{}); err != nil || got.ID != 8 {
		t.Errorf("got %v %v", got, err)
	}
}

func TestRunCountsRows(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Affected(remove, 5))
	if n, err := remove.Run(c, itemArgs{Owner: "ann"}); n != 5 || err != nil {
		t.Errorf("got %d %v", n, err)
	}
	if asked := weirtest.Asked(c, remove); len(asked) != 1 || asked[0].Owner != "ann" {
		t.Errorf("asked %v", asked)
	}
}

func TestFakeFuncSeesArguments(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.FakeFunc(items, func(a itemArgs) ([]item, error) {
		if a.Owner == "" {
			return nil, errors.New("nobody")
		}
		return someItems(a.Limit), nil
	}))
	if got, err := items.All(c, itemArgs{Owner: "ann"}); err != nil || len(got) != 10 {
		t.Errorf("%d rows, %v; the limit's default is 10", len(got), err)
	}
	if _, err := items.All(c, itemArgs{}); !errors.Is(err, abi.ErrnoSQL) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
}

func TestAStatementWithoutAFakeSaysSo(t *testing.T) {
	t.Parallel()
	_, err := items.All(weirtest.Call(), itemArgs{})
	if err == nil || !strings.Contains(err.Error(), "select id, name, due from items") || !strings.Contains(err.Error(), "weirtest.Fake") {
		t.Errorf("got %v", err)
	}
	var zero weir.Call
	if _, err := items.All(&zero, itemArgs{}); !errors.Is(err, abi.ErrnoState) {
		t.Errorf("got %v", err)
	}
}

// G13: asking for rows runs nothing; reading them does.
func TestRowsAreLazy(t *testing.T) {
	t.Parallel()
	ran := 0
	c := weirtest.Call(weirtest.FakeFunc(items, func(itemArgs) ([]item, error) {
		ran++
		return someItems(4), nil
	}))
	rows, err := items.Rows(c, itemArgs{})
	if err != nil || ran != 0 {
		t.Fatalf("ran %d times, %v", ran, err)
	}
	odd, err := rows.Pick([]uint32{3, 1})
	if err != nil || ran != 1 {
		t.Fatalf("ran %d times, %v", ran, err)
	}
	if got, err := odd.All(); err != nil || len(got) != 2 || got[0].ID != 3 || ran != 1 {
		t.Errorf("got %+v %v, ran %d times", got, err, ran)
	}
	if _, err := rows.Pick([]uint32{4}); !errors.Is(err, abi.ErrnoInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestCallReachesTheHost(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 1, 0, 0, 0, 1000, time.UTC)
	long := strings.Repeat("v", 1000)
	c := weirtest.Call(weirtest.Now(at), weirtest.Config("key", "value"), weirtest.Config("long", long))
	if got := c.Now(); !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("now %v", got)
	}
	if err := errors.Join(c.WakeAt(at.Add(time.Hour)), c.WakeAt(at.Add(time.Minute))); err != nil {
		t.Error(err)
	}
	if wake, ok := weirtest.WakeAt(c); !ok || !wake.Equal(at.Add(time.Minute)) {
		t.Errorf("wake at %v %v", wake, ok)
	}
	for key, want := range map[string]string{"key": "value", "long": long} {
		if got, ok := c.Config(key); !ok || got != want {
			t.Errorf("config %s is %q %v", key, got, ok)
		}
	}
	if _, ok := c.Config("none"); ok {
		t.Error("a key that is not set was found")
	}
	c.Warn("slow", "room", 7, "who", "ann bee", "took", time.Second, "err", errors.New("x"), "ok", true, "odd")
	logs := weirtest.Logs(c)
	want := weirtest.Entry{Level: abi.LogWarn, Text: `slow room=7 who="ann bee" took=1s err=x ok=true !value=odd`}
	if len(logs) != 1 || logs[0] != want {
		t.Errorf("logged %+v", logs)
	}
}

// invoke runs a registered function as the host would.
func invoke(name string, c *weir.Call, input ...abi.Value) (abi.Tag, int32, []byte) {
	return door.Invoke(door.HostOf(c), name, abi.Array(input...).AppendCBOR(nil))
}

type pathArgs struct {
	Who  string `claim:"sub"`
	What string
	Org  int64 `scope:"org"`
}

func init() {
	weir.Plugin("tests", "0.1.0")
	weir.Query("path", weir.Func(func(c *weir.Call, a pathArgs) (map[string]pathArgs, error) {
		switch a.What {
		case "public":
			return nil, fmt.Errorf("wrapped: %w", weir.Fail("teapot", "short and stout"))
		case "plain":
			return nil, errors.New("secret " + strings.Repeat("é", abi.MaxError) + "\xff")
		case "sql":
			_, err := items.All(c, itemArgs{})
			return nil, err
		}
		return map[string]pathArgs{a.What: a}, nil
	}), weir.SignedIn())
	weir.Query("path.rows", weir.Func(func(c *weir.Call, a itemArgs) (weir.Rows[item], error) {
		if a.Limit == 0 {
			return weir.Rows[item]{}, nil
		}
		return items.Rows(c, a)
	}), weir.SignedIn())
	weir.Mutation("path.none", weir.Func(func(*weir.Call, struct{}) (weir.None, error) { return weir.None{}, nil }), weir.Public())
}

var _ = weir.Decide("path.policy", func(_ *weir.Call, a struct {
	Action string `weir:"action"`
	Room   int64
	Name   string `weir:"function"`
},
) (weir.Decision, error) {
	switch {
	case a.Room == 1:
		return weir.Allow().Scope("org", 7).Scope("a", "x").Until(weirtest.Epoch), nil
	case a.Room == 2:
		return weir.Deny(a.Action + " " + a.Name), nil
	case a.Room == 3:
		return weir.Allow().Scope("org", []int{1}), nil
	case a.Room == 4:
		return weir.Allow().Scope("org", 1).Scope("org", 2), nil
	}
	return weir.Decision{}, nil
})

// Input is arguments, then claims, then scope, whatever the struct's order.
func TestFunctionsReadTheirInputAndAnswer(t *testing.T) {
	t.Parallel()
	c := weirtest.Call()
	tag, _, data := invoke("path", c, abi.Text("echo"), abi.Text("ann"), abi.Int(3))
	v, err := abi.DecodeCBOR(data)
	if tag != abi.TagValue || err != nil || v.String() != `{"echo":{"org":3,"who":"ann","what":"echo"}}` || !abi.IsDeterministic(data) {
		t.Errorf("got tag %d %s %v", tag, v, err)
	}
	if tag, _, data := invoke("path.none", c); tag != abi.TagNone || data != nil {
		t.Errorf("None gave tag %d, %x", tag, data)
	}
}

// Rows that nobody looked at leave as a handle.
func TestReturnedRowsNeverEnterTheGuest(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.FakeFunc(items, func(itemArgs) ([]item, error) {
		t.Error("the statement ran")
		return nil, nil
	}))
	tag, handle, data := invoke("path.rows", c, abi.Int(5), abi.Text("ann"))
	if tag != abi.TagHandle || handle != 1 || data != nil {
		t.Errorf("got tag %d, handle %d, %x", tag, handle, data)
	}
	tag, _, data = invoke("path.rows", c, abi.Int(0), abi.Text("ann"))
	if tag != abi.TagValue || len(data) != 1 || data[0] != 0x80 {
		t.Errorf("zero Rows gave tag %d, %x; want an empty array", tag, data)
	}
}

func TestOnlyFailIsPublic(t *testing.T) {
	t.Parallel()
	f := func(what string, code abi.Code, public bool, message string) {
		t.Helper()
		c := weirtest.Call(weirtest.FakeError(items, "relation is gone"))
		tag, _, data := invoke("path", c, abi.Text(what), abi.Text("ann"), abi.Int(3))
		e, err := abi.DecodeError(data)
		if tag != abi.TagError || err != nil {
			t.Fatalf("%s: tag %d, %v", what, tag, err)
		}
		if e.Code != code || e.Public != public || !strings.Contains(e.Message, message) {
			t.Errorf("%s: got %+v", what, e)
		}
		if len(data) > abi.MaxError {
			t.Errorf("%s: %d bytes", what, len(data))
		}
	}
	f("public", "teapot", true, "short and stout")
	f("plain", abi.Internal, false, "secret")
	f("sql", abi.SQLError, false, "relation is gone")
}

func TestInputThatDoesNotFitIsAnError(t *testing.T) {
	t.Parallel()
	f := func(want string, input ...abi.Value) {
		t.Helper()
		tag, _, data := invoke("path", weirtest.Call(), input...)
		e, err := abi.DecodeError(data)
		if tag != abi.TagError || err != nil || !strings.Contains(e.Message, want) || e.Public {
			t.Errorf("got tag %d %+v %v, want %q", tag, e, err, want)
		}
	}
	f("has 0 values for 3 fields")
	f("what: ", abi.Int(1), abi.Text("ann"), abi.Int(3))
	f("org: ", abi.Text(""), abi.Text("ann"), abi.Null())
}

func TestPoliciesAnswerWithADecision(t *testing.T) {
	t.Parallel()
	f := func(room int64, want string) {
		t.Helper()
		tag, _, data := invoke("path.policy", weirtest.Call(), abi.Int(room), abi.Text("read"), abi.Text("rooms.list"))
		if tag == abi.TagError {
			e, err := abi.DecodeError(data)
			if err != nil || want != "error "+e.Message {
				t.Errorf("room %d: %+v %v, want %s", room, e, err, want)
			}
			return
		}
		d, err := abi.DecodeDecision(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.Allow, " ", d.Reason, " ", d.Scope, " ", d.WakeAt); got != want {
			t.Errorf("room %d: got %s, want %s", room, got, want)
		}
	}
	f(1, fmt.Sprint(`true  {"a":"x","org":7} `, weirtest.Epoch.UnixMicro()))
	f(2, `false read rooms.list null 0`)
	f(3, `error scope value org is not a string, a bool, an integer or a float`)
	f(4, `error scope value org is set twice`)
	f(5, `false  null 0`)
}

// SDK3: what a call allocates, so that reflection cannot creep in.
func TestReadingRowsAllocatesLittle(t *testing.T) {
	c := weirtest.Call(weirtest.Fake(parts, make([]part, 1000)...))
	rows, err := parts.Rows(c, struct{ Items []int64 }{})
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(20, func() {
		got, err := rows.All()
		if err != nil || len(got) != 1000 {
			t.Fatal(len(got), err)
		}
	})
	// The slice, the page, closures; empty texts cost nothing.
	if allocs > 8 {
		t.Errorf("%v allocations for 1000 rows", allocs)
	}
}
