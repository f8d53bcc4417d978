package weirtest_test

import (
	"fmt"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

type room struct {
	ID   int64
	Name string
}

type byID struct{ ID int64 }

var (
	one  = weir.Select[byID, room](`select id, name from rooms where id = $id`)
	drop = weir.Exec[byID, weir.None](`delete from rooms where id = $id`)
)

// closeRoom is a handler as a plugin has it.
func closeRoom(c *weir.Call, a byID) (string, error) {
	r, err := one.One(c, a)
	if err != nil {
		return "", err
	}
	if _, err := drop.Run(c, a); err != nil {
		return "", err
	}
	return r.Name + " is closed", nil
}

func ExampleFake() {
	c := weirtest.Call(weirtest.Fake(one, room{7, "tea"}), weirtest.Affected(drop, 1))
	fmt.Println(closeRoom(c, byID{7}))
	fmt.Println(weirtest.Asked(c, drop))
	// Output:
	// tea is closed <nil>
	// [{7}]
}

func ExampleFakeFunc() {
	rooms := map[int64]room{7: {7, "tea"}}
	c := weirtest.Call(weirtest.FakeFunc(one, func(a byID) ([]room, error) {
		if r, ok := rooms[a.ID]; ok {
			return []room{r}, nil
		}
		return nil, nil
	}))
	fmt.Println(one.One(c, byID{7}))
	fmt.Println(one.One(c, byID{8}))
	// Output:
	// {7 tea} <nil>
	// {0 } no row
}

// What PostgreSQL refuses reaches the handler as an error.
func ExampleFakeError() {
	c := weirtest.Call(weirtest.FakeError(one, "permission denied for table rooms"))
	_, err := closeRoom(c, byID{7})
	fmt.Println(err)
	// Output: `select id, name from rooms where id = $id`: permission denied for table rooms
}

// A one-line test finds mistakes in types, tags and access.
func ExampleManifest() {
	weir.Query("rooms.one", one, weir.SignedIn())
	m, err := weirtest.Manifest()
	fmt.Println(len(m.Statements), m.Functions[0].Name, err)
	// Output: 2 rooms.one <nil>
}
