package main

import (
	"errors"
	"testing"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

func refused(t *testing.T, err error, code string) {
	t.Helper()
	var public *weir.Error
	if !errors.As(err, &public) || string(public.Code) != code || !public.Public {
		t.Errorf("got %v, want the public error %s", err, code)
	}
}

func TestAddTrimsAndRefuses(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(insert))
	if _, err := add(c, AddArgs{Me: "ann", Board: 1, List: "todo", Title: " tea \n"}); err != nil {
		t.Fatal(err)
	}
	if asked := weirtest.Asked(c, insert); len(asked) != 1 || asked[0].Title != "tea" || asked[0].Me != "ann" {
		t.Errorf("inserted %+v", asked)
	}
	c = weirtest.Call(weirtest.Fake(insert))
	_, err := add(c, AddArgs{List: "todo", Title: " \n"})
	refused(t, err, "empty")
	_, err = add(c, AddArgs{List: "elsewhere", Title: "tea"})
	refused(t, err, "no_list")
	if asked := weirtest.Asked(c, insert); len(asked) != 0 {
		t.Errorf("inserted %+v", asked)
	}
}

func TestEditRefuses(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(update))
	_, err := edit(c, EditArgs{Title: new(" ")})
	refused(t, err, "empty")
	_, err = edit(c, EditArgs{Label: new("urgent")})
	refused(t, err, "no_label")
	_, err = edit(c, EditArgs{Label: new("")}) // no row: a card of another board
	refused(t, err, "no_card")
}

func TestMoveRefusesOtherLists(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(place))
	_, err := move(c, MoveArgs{List: "elsewhere"})
	refused(t, err, "no_list")
}
