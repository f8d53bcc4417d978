package host_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/host"
	"weir/host/hosttest"
)

// asked is the answer to /why, once it is as it should be.
func asked(t *testing.T, s *hosttest.Server, path string, good func(*host.Why) bool) *host.Why {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var w host.Why
		resp, err := http.Get(s.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&w)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		if good(&w) {
			return &w
		}
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(w, "", "  ")
			t.Fatalf("%s is not as it should be:\n%s", path, text)
		}
		<-tick.C
	}
}

// fates joins what is told of the changes of a table, the newest first.
func fates(w *host.Why, table string) string {
	var list []string
	for _, c := range w.Changes {
		if c.Table == table {
			list = append(list, c.Fate+": "+c.Text)
		}
	}
	return strings.Join(list, "\n")
}

// TestWhyTellsTheFateOfEachChange: W9. Each update and each silence is explained,
// by comparing recent changes with what was read.
func TestWhyTellsTheFateOfEachChange(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	const path = "/why/messages.list?room=1&as=ann"
	asked(t, s, path, func(w *host.Why) bool {
		return w.State == "nobody" && w.Caller == "ann" && strings.Contains(w.Story[0], "nobody")
	})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	stream.result(t)
	w := asked(t, s, path, func(w *host.Why) bool { return w.State == "live" && w.Watchers == 1 && w.Streams.Behind == 0 })
	if len(w.Reads) != 2 || !strings.Contains(w.Reads[0].Text, "messages where room_id = 1") || w.Reads[1].Policy != "member" {
		t.Errorf("reads: %+v", w.Reads)
	}
	if !strings.Contains(w.Story[len(w.Story)-1], "has the transaction committed") && !strings.Contains(strings.Join(w.Story, "\n"), "up to date") {
		t.Errorf("story: %q", w.Story)
	}

	s.SQL(t, `insert into messages (room_id, author, body) values (2, 'bob', 'elsewhere')`)
	w = asked(t, s, path, func(w *host.Why) bool { return fates(w, "messages") != "" })
	if got, want := fates(w, "messages"), "no_match: no match: room_id is 2, the query reads 1"; got != want {
		t.Errorf("a change of another room: %s, want %s", got, want)
	}
	// The triggers that capture made are definitions, whose news may come late and
	// take a change in with them.
	for try := 1; ; try++ {
		s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'here')`)
		version := stream.result(t).Version
		w = asked(t, s, path, func(w *host.Why) bool { return w.Version == version && len(w.Past) > 0 && w.Past[0].Version == version })
		newest, _, _ := strings.Cut(fates(w, "messages"), "\n")
		if !strings.HasPrefix(newest, "shown: ran ") || !strings.Contains(newest, "new result, ") {
			t.Fatalf("a change of the room: %s", newest)
		}
		if strings.HasPrefix(w.Past[0].Cause, "changed: insert messages (tx ") {
			break
		}
		if try == 5 {
			t.Fatalf("the newest run: %+v", w.Past[0])
		}
	}
	s.SQL(t, `update messages set body = body where room_id = 1; update messages set sent_at = now() where room_id = 2`)

	// What is not committed is told too, by whom.
	conn := s.DB.Conn(t)
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `insert into messages (room_id, author, body) values (1, 'bob', 'soon')`)
	}
	if err != nil {
		t.Fatal(err)
	}
	w = asked(t, s, path, func(w *host.Why) bool { return len(w.Open) == 1 })
	if !strings.Contains(w.Open[0], "not committed: transaction ") || !strings.Contains(w.Open[0], "has written messages") {
		t.Errorf("an open transaction: %q", w.Open)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Taken out, she is denied, and that is what is told.
	s.SQL(t, `delete from members where room_id = 1 and user_id = 'ann'`)
	asked(t, s, path, func(w *host.Why) bool {
		return w.State == "denied" && strings.Contains(strings.Join(w.Story, "\n"), "denied by member")
	})
}

// TestWhySaysWhatIsNotCaptured: C10.
func TestWhySaysWhatIsNotCaptured(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann").result(t)
	s.SQL(t, `alter table messages disable trigger weir_insert`)
	w := asked(t, s, "/why/messages.list?room=1&as=ann", func(w *host.Why) bool { return w.State == "stale" })
	if !strings.Contains(w.Story[0], "not captured: ") || !strings.Contains(w.Story[0], "weir db setup") {
		t.Errorf("story: %q", w.Story)
	}
}

// TestWhyOfAGroupByItsName: the console asks about what it lists.
func TestWhyOfAGroupByItsName(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann").result(t)
	watch(t, s.URL+"/v1/q/rooms.list?as=ann").result(t)
	resp, err := http.Get(s.Admin + "/api/groups?by=watchers&limit=10")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var groups []struct {
		Function, Args, Group string
		Hidden                int
		Policy                bool
	}
	if err := json.NewDecoder(resp.Body).Decode(&groups); err != nil || len(groups) != 3 {
		t.Fatalf("groups: %+v, %v", groups, err)
	}
	for _, g := range groups {
		w := asked(t, s, "/api/groups/"+g.Group, func(w *host.Why) bool { return w.State == "live" })
		if w.Function != g.Function {
			t.Errorf("group %s is of %s, listed as %s", g.Group, w.Function, g.Function)
		}
		// Claims are the callers' own: they are counted, not shown.
		if strings.Contains(g.Args, "ann") || g.Function == "rooms.list" && g.Hidden != 1 {
			t.Errorf("%s is listed with %s, %d hidden", g.Function, g.Args, g.Hidden)
		}
	}
}
