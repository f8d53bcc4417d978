package main

import (
	"errors"
	"testing"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

const ann = "weir:dev ann"

func code(t *testing.T, err error, want string) {
	t.Helper()
	var public *weir.Error
	if !errors.As(err, &public) || string(public.Code) != want || !public.Public {
		t.Errorf("got %v, want the public error %s", err, want)
	}
}

func TestOrderTrimsTheTitle(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(create, Ordered{ID: 7}))
	got, err := order(c, OrderArgs{Me: ann, Title: "  Dawn ", Style: "dunes"})
	if err != nil || got.ID != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if asked := weirtest.Asked(c, create); len(asked) != 1 || asked[0] != (OrderArgs{Me: ann, Title: "Dawn", Style: "dunes"}) {
		t.Errorf("inserted %+v", asked)
	}
	_, err = order(weirtest.Call(weirtest.Fake(create)), OrderArgs{Me: ann, Title: " \t", Style: "dunes"})
	code(t, err, "empty")
}

func TestPublishBeginsARunAndHasItDriven(t *testing.T) {
	t.Parallel()
	c := weirtest.Call(weirtest.Fake(painted, struct{ Title string }{"Dawn"}), weirtest.Fake(begin, Run{"r1"}), weirtest.Fake(drive, struct{ Job string }{"j1"}))
	if got, err := publish(c, OneArgs{Me: ann, ID: 7}); err != nil || got.Run != "r1" {
		t.Errorf("got %+v, %v", got, err)
	}
	if asked := weirtest.Asked(c, drive); len(asked) != 1 || asked[0] != (DriveArgs{Me: ann, Run: "r1"}) {
		t.Errorf("drives %+v", asked)
	}
	c = weirtest.Call(weirtest.Fake(painted), weirtest.Fake(begin), weirtest.Fake(drive))
	_, err := publish(c, OneArgs{Me: ann, ID: 7})
	code(t, err, "not_ready")
	if asked := weirtest.Asked(c, begin); len(asked) != 0 {
		t.Errorf("began %+v", asked)
	}
}

func TestAnswerGoesOnOnlyAfterYes(t *testing.T) {
	t.Parallel()
	f := func(yes bool, said Answered, drives int, failure string) {
		t.Helper()
		c := weirtest.Call(weirtest.Fake(approve, said), weirtest.Fake(decline, said), weirtest.Fake(drive, struct{ Job string }{"j1"}))
		got, err := answer(c, AnswerArgs{Me: ann, ID: 7, Yes: yes})
		if failure != "" {
			code(t, err, failure)
		} else if err != nil || got != said {
			t.Errorf("got %+v, %v", got, err)
		}
		if asked := weirtest.Asked(c, drive); len(asked) != drives {
			t.Errorf("drives %+v", asked)
		}
	}
	f(true, Answered{"r1", true}, 1, "")
	f(false, Answered{"r1", true}, 0, "")
	f(true, Answered{"r1", false}, 0, "too_late")
	f(false, Answered{"r1", false}, 0, "too_late")
}

func TestManifestIsAccepted(t *testing.T) {
	t.Parallel()
	m, err := weirtest.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "posters" || len(m.Functions) != 7 {
		t.Errorf("got %s with %d functions", m.Name, len(m.Functions))
	}
}
