package main

import (
	"errors"
	"testing"
	"time"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

func TestPostWritesAsTheCaller(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 5, 6, 7, 8, 9, 10_000, time.UTC)
	c := weirtest.Call(weirtest.Fake(insert, Message{ID: 1, Author: "ann", Body: "hi", SentAt: sent}))
	got, err := post(c, PostArgs{Me: "ann", Room: 7, Body: "  hi\n"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Message{ID: 1, Author: "ann", Body: "hi", SentAt: sent}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	asked := weirtest.Asked(c, insert)
	if len(asked) != 1 || asked[0] != (PostArgs{Me: "ann", Room: 7, Body: "hi"}) {
		t.Errorf("inserted %+v", asked)
	}
}

func TestPostRefusesNothing(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(insert))
	_, err := post(c, PostArgs{Me: "ann", Room: 7, Body: " \t\n"})
	var public *weir.Error
	if !errors.As(err, &public) || public.Code != "empty" || !public.Public {
		t.Fatalf("got %v, want the public error empty", err)
	}
	if asked := weirtest.Asked(c, insert); len(asked) != 0 {
		t.Errorf("inserted %+v", asked)
	}
}

func TestPostPassesTheDatabasesRefusalOn(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.FakeError(insert, "violates foreign key"))
	if _, err := post(c, PostArgs{Me: "ann", Room: 7, Body: "hi"}); !errors.Is(err, weir.ErrSQL) {
		t.Errorf("got %v, want a refused statement", err)
	}
}

func TestSummaryCounts(t *testing.T) {
	t.Parallel()
	f := func(want Summary, rs ...Room) {
		t.Helper()
		c := weirtest.Call(weirtest.Fake(rooms, rs...))
		got, err := summary(c, MineArgs{Me: "ann"})
		if err != nil || got != want {
			t.Errorf("got %+v %v, want %+v", got, err, want)
		}
		if asked := weirtest.Asked(c, rooms); len(asked) != 1 || asked[0].Me != "ann" {
			t.Errorf("asked %+v", asked)
		}
	}
	f(Summary{})
	f(Summary{Rooms: 2, Messages: 5, Busiest: "general"},
		Room{ID: 2, Name: "general", Messages: 4, Members: []Member{{2, "ann"}, {2, "bob"}}},
		Room{ID: 1, Name: "random", Messages: 1})
	f(Summary{Rooms: 1}, Room{ID: 1, Name: "empty"})
}

func TestManifestIsAccepted(t *testing.T) {
	t.Parallel()
	m, err := weirtest.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "chat" || len(m.Statements) != 5 || len(m.Functions) != 5 {
		t.Errorf("got %s with %d statements and %d functions", m.Name, len(m.Statements), len(m.Functions))
	}
	for _, f := range m.Functions {
		if f.Kind != "policy" && !f.Access.Stated() {
			t.Errorf("%s says nothing about access", f.Name)
		}
	}
}
