package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/abi"
	"weir/reactor"
)

// held is what a client that applies deltas holds of one subscription, and what it
// was told of it.
type held struct {
	q, v, status string
	next         string // the version that was announced
	key          []string
	keys, rows   []string
	deltas       int
}

// take takes one event in, as PROTOCOL says.
func (h *held) take(e sseEvent) error {
	switch e.name {
	case "sub":
		h.status = e.field("status")
		if q := e.field("q"); q != "" {
			h.q, h.next = q, e.field("v")
		}
		if h.status == "denied" {
			*h = held{status: h.status, deltas: h.deltas}
		}
	case "message":
		var f struct {
			V    string
			Key  []string
			Rows []json.RawMessage
		}
		if err := json.Unmarshal([]byte(e.data), &f); err != nil {
			return err
		}
		h.v, h.key, h.rows, h.keys = f.V, f.Key, nil, nil
		for _, row := range f.Rows {
			h.rows = append(h.rows, string(row))
			var members map[string]json.RawMessage
			if err := json.Unmarshal(row, &members); err != nil {
				return err
			}
			h.keys = append(h.keys, string(members["id"]))
		}
	case "delta":
		return h.patch(e)
	case "problem", "ping", "synced":
		return nil
	default:
		return fmt.Errorf("unexpected %s", e)
	}
	return h.check(e)
}

func (h *held) patch(e sseEvent) error {
	var d struct {
		From, V string
		Set     [][3]json.RawMessage
		Del     []string
	}
	if err := json.Unmarshal([]byte(e.data), &d); err != nil {
		return err
	}
	if d.From != h.v || d.V != h.next || e.field("q") != h.q {
		return fmt.Errorf("a client of %s that waits for %s gets %s", h.v, h.next, e)
	}
	h.v = d.V
	h.deltas++
	for _, key := range d.Del {
		at := slices.Index(h.keys, key)
		if at < 0 {
			return fmt.Errorf("%s takes away what is not there", e)
		}
		h.keys, h.rows = slices.Delete(h.keys, at, at+1), slices.Delete(h.rows, at, at+1)
	}
	for _, set := range d.Set {
		var at int
		var key string
		if err := errors.Join(json.Unmarshal(set[0], &at), json.Unmarshal(set[1], &key)); err != nil {
			return err
		}
		if at < len(h.keys) && h.keys[at] == key {
			h.rows[at] = string(set[2])
			continue
		}
		h.keys, h.rows = slices.Insert(h.keys, at, key), slices.Insert(h.rows, at, string(set[2]))
	}
	return h.check(e)
}

func (h *held) content() string {
	key, _ := json.Marshal(h.key)
	return fmt.Sprintf(`"key":%s,"rows":[%s]`, key, strings.Join(h.rows, ","))
}

// check compares the version with the rows.
func (h *held) check(e sseEvent) error {
	if h.v != "" && reactor.VersionOf([]byte(h.content())).String() != h.v {
		return fmt.Errorf("after %s the rows are not of version %s: %s", e, h.v, h.content())
	}
	return nil
}

// A client that reads at random, and so skips results, failures and denials, holds
// at each moment the rows of a version, and in the end what is true: whatever it
// is sent, whole results or deltas, nothing that counts is lost, and rows that were
// secret while it was denied never reach it (W5).
// Cases: 90.
func TestSlowClientOfDeltasEndsAtTheTruth(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			deltas := 0
			inBubble(t, nil, func(t *testing.T, f *fixture) { deltas = f.slowDeltas(t, rand.New(rand.NewPCG(seed, 5))) })
			t.Logf("seed %d: %d deltas", seed, deltas)
			if deltas == 0 {
				t.Errorf("seed %d: no delta was sent", seed)
			}
		})
	}
}

func (f *fixture) slowDeltas(t *testing.T, rng *rand.Rand) int {
	var rows []string
	for i := range 60 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"text":"%s"}`, i, strings.Repeat("y", 100)))
	}
	content := func(rows []string) string { return `"key":["id"],"rows":[` + strings.Join(rows, ",") + `]` }
	f.backend.set("rooms.list", content(rows))
	f.backend.decide("rooms.list", allow)
	s := f.streamFor(time.Hour, http.MethodPost, "/v1/stream?delta=1", `{"subs":[{"id":1,"q":"rooms.list"}]}`)
	defer s.close()
	permits, events := make(chan struct{}), make(chan sseEvent, 1)
	go func() {
		for range permits {
			e, err := s.parser.next()
			if err != nil {
				e = sseEvent{name: err.Error()}
			}
			events <- e
		}
	}()
	defer close(permits)
	client, reading := held{}, false
	// read takes at most n events, and reports whether there were no more.
	read := func(n int) bool {
		for range n {
			if !reading {
				permits <- struct{}{}
				reading = true
			}
			synctest.Wait()
			select {
			case e := <-events:
				reading = false
				if strings.Contains(e.data, "SECRET") {
					t.Fatalf("a row of a time without access: %s", e)
				}
				if err := client.take(e); err != nil {
					t.Fatal(err)
				}
			default:
				return true
			}
		}
		return false
	}
	denied, failing, secret := false, false, false
	for range 300 {
		switch op := rng.IntN(12); {
		case op < 7:
			if at := rng.IntN(len(rows)); op < 3 {
				rows[at] = strings.Replace(rows[at], `"text":"`, `"text":"z`, 1)
			} else {
				rows = append(slices.Delete(rows, at, at+1), fmt.Sprintf(`{"id":%d,"text":"%s"}`, 100+rng.IntN(1e6), strings.Repeat("y", 100)))
			}
			failing, secret = false, false
			f.backend.set("rooms.list", content(rows))
		case op < 8:
			failing = true
			f.backend.fail("rooms.list", &Refusal{Kind: abi.Deadline})
		case op < 10: // access goes, a secret comes and goes, access comes back
			f.backend.decide("rooms.list", deny)
			f.backend.set("rooms.list", content(append([]string{`{"id":-1,"text":"SECRET"}`}, rows...)))
			denied, failing, secret = true, false, true
			if rng.IntN(2) == 0 {
				continue
			}
			fallthrough
		default:
			if secret {
				f.backend.set("rooms.list", content(rows))
				failing, secret = false, false
			}
			denied = false
			f.backend.decide("rooms.list", allow)
		}
		if secret && !denied {
			t.Fatal("BUG: the test gives its secret away")
		}
		read(rng.IntN(3))
		if rng.IntN(10) > 0 {
			continue
		}
		eventuallyIn(t, "the client holds the truth", func() bool {
			for !read(100) {
			}
			switch {
			case denied:
				return client.status == "denied"
			case failing:
				return true // it may have no result of a time in which its decision holds
			}
			return client.status == "live" && client.content() == content(rows)
		})
	}
	return client.deltas
}
