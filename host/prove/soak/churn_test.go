package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// churn is what comes and goes beside the hot streams. A round's parts run at once,
// and are waited for.
type churn struct {
	t       *testing.T
	p       plan
	w       *world
	c       *client
	host    string // the server's address
	rand    *rand.Rand
	witness *stream
	flipper *pgx.Conn // to the database, one for each part that writes there
	wide    *pgx.Conn
	sweeper *pgx.Conn
	deaf    []net.Conn // clients that never read
	round   int
	version int // of the small plugin
}

// newChurn opens the witness, a session that stays.
func newChurn(t *testing.T, p plan, w *world, s *server, seed uint64) *churn {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	k := &churn{
		t: t, p: p, w: w, c: newClient(s.url), host: u.Host, rand: rand.New(rand.NewPCG(seed, 0)),
		flipper: w.db.Conn(t), wide: w.db.Conn(t), sweeper: w.db.Conn(t),
	}
	t.Cleanup(k.c.http.CloseIdleConnections)
	k.witness, err = k.c.open("POST", "/v1/stream", w.token(t, witness, 0), fmt.Sprintf(`{"subs":[
		{"id":1,"q":"messages.list","args":{"room":%d}},{"id":2,"q":"rooms.summary"},
		{"id":3,"q":"version"},{"id":4,"q":"people"}]}`, flippedRoom))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.witness.end)
	err = k.witness.wait("the witness's results", func() bool {
		return k.witness.live(1) != nil && k.witness.live(2) != nil && k.witness.live(3) != nil && k.witness.live(4) != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// turn is one round: calls of the plugin, sessions, and one of each of the rest.
func (k *churn) turn(calls, sessions int) {
	k.round++
	var all sync.WaitGroup
	part := func(what string, f func(r *rand.Rand) error) {
		r := rand.New(rand.NewPCG(k.rand.Uint64(), 0))
		all.Go(func() {
			if err := f(r); err != nil {
				k.t.Errorf("round %d, %s: %v", k.round, what, err)
			}
		})
	}
	const callers = 3
	for i := range callers {
		part("calls", func(r *rand.Rand) error { return k.post(r, (calls+i)/callers) })
	}
	part("sessions", func(r *rand.Rand) error {
		var errs []error
		for i := range sessions {
			errs = append(errs, k.session(r, i), k.single(r), k.oneShots(r))
		}
		return errors.Join(errs...)
	})
	part("a member is taken out", func(*rand.Rand) error { return k.flip() })
	part("aborted requests", k.abort)
	part("a client that does not read", k.stall)
	all.Wait()
	if k.round%k.p.swapEvery == 0 {
		if err := k.swap(); err != nil {
			k.t.Errorf("round %d, swap: %v", k.round, err)
		}
	}
	if k.round%k.p.reloadEvery == 0 {
		if err := k.reload(); err != nil {
			k.t.Errorf("round %d, reload: %v", k.round, err)
		}
	}
	_, err := k.sweeper.Exec(k.t.Context(), `delete from messages m where room_id >= $1 and id <
		(select min(id) from (select id from messages where room_id = m.room_id order by id desc limit 20) s)`, busyRoom)
	if err != nil {
		k.t.Errorf("round %d, sweep: %v", k.round, err)
	}
}

func (k *churn) token(r *rand.Rand) string { return k.w.token(k.t, guestName(r.IntN(guests)), 0) }

func busy(r *rand.Rand) int { return busyRoom + r.IntN(rooms-busyRoom+1) }

// post calls the chat's mutation, which is Go, n times.
func (k *churn) post(r *rand.Rand, n int) error {
	token := k.token(r)
	for range n {
		body := fmt.Sprintf(`{"room":%d,"body":"%x"}`, busy(r), r.Uint64())
		if _, _, err := k.c.ask("POST", "/v1/call/messages.post", token, body, []int{200}); err != nil {
			return err
		}
	}
	return nil
}

// session opens a session, adds and drops subscriptions, renews its token, and goes:
// in order, or not.
func (k *churn) session(r *rand.Rand, i int) error {
	user := guestName(r.IntN(guests))
	token := k.w.token(k.t, user, 0)
	s, err := k.c.open("POST", "/v1/stream", token, fmt.Sprintf(`{"subs":[
		{"id":1,"q":"messages.list","args":{"room":%d}},{"id":2,"q":"rooms.list"},{"id":3,"q":"version"}]}`, busy(r)))
	if err != nil {
		return err
	}
	defer s.end()
	err = s.wait("a session's results", func() bool { return s.live(1) != nil && s.live(2) != nil && s.live(3) != nil })
	if err != nil {
		return err
	}
	s.mu.Lock()
	path := "/v1/stream/" + s.sid
	s.mu.Unlock()
	change := fmt.Sprintf(`{"add":[{"id":4,"q":"messages.list","args":{"room":%d,"limit":%d}}],"drop":[1]}`, busy(r), 1+r.IntN(20))
	if _, _, err := k.c.ask("POST", path, token, change, []int{200, 202, 204}); err != nil {
		return err
	}
	newer := k.w.token(k.t, user, 1+i)
	if _, _, err := k.c.ask("POST", path, newer, `{}`, []int{200, 202, 204}); err != nil {
		return err
	}
	err = s.wait("what was added", func() bool { _, there := s.subs[1]; return s.live(4) != nil && !there })
	if err != nil || r.IntN(2) == 0 {
		return err
	}
	_, _, err = k.c.ask("POST", path, newer, `{"drop":[2,3,4]}`, []int{200, 202, 204})
	return err
}

// single opens a stream of one query and closes it at the first result.
func (k *churn) single(r *rand.Rand) error {
	s, err := k.c.open("GET", fmt.Sprintf("/v1/q/messages.list?room=%d&limit=%d", busy(r), 1+r.IntN(20)), k.token(r), "")
	if err != nil {
		return err
	}
	defer s.end()
	return s.wait("a result", func() bool { return len(s.data) > 0 })
}

// oneShots asks for a result, and again with its tag.
func (k *churn) oneShots(r *rand.Rand) error {
	path := fmt.Sprintf("/v1/q/messages.list?room=%d", flippedRoom)
	token := k.token(r)
	header, _, err := k.c.ask("GET", path, token, "", []int{200})
	if err != nil {
		return err
	}
	if _, _, err = k.c.ask("GET", path, token, "", []int{304}, "If-None-Match", header.Get("ETag")); err != nil {
		return err
	}
	_, _, err = k.c.ask("GET", "/v1/q/rooms.summary", k.token(r), "", []int{200})
	return err
}

// flip takes the witness out of a room, sees the stream go dark, and puts it back.
func (k *churn) flip() error {
	if _, err := k.flipper.Exec(k.t.Context(), `delete from members where room_id = $1 and user_id = $2`, flippedRoom, witness); err != nil {
		return err
	}
	err := k.witness.wait("denied", func() bool { return k.witness.subs[1].status == "denied" })
	if err != nil {
		return err
	}
	if _, err := k.flipper.Exec(k.t.Context(), `insert into members (room_id, user_id) values ($1, $2)`, flippedRoom, witness); err != nil {
		return err
	}
	return k.witness.wait("the rows again", func() bool { return k.witness.live(1) != nil })
}

// abort cuts requests off: in their head, in their body, after it, and while the
// answer comes.
func (k *churn) abort(r *rand.Rand) error {
	body := fmt.Sprintf(`{"subs":[{"id":1,"q":"messages.list","args":{"room":%d}}]}`, wideRoom)
	text := k.raw(k.token(r), body)
	for _, n := range []int{len(text) / 3, len(text) - len(body)/2, len(text)} {
		conn, err := net.Dial("tcp", k.host)
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte(text[:n]))
		if err := errors.Join(err, conn.Close()); err != nil {
			return err
		}
	}
	conn, err := net.Dial("tcp", k.host)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(text))
	if err == nil {
		_, err = conn.Read(make([]byte, 100))
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset, as of a client that crashed
	return errors.Join(err, conn.Close())
}

// raw is the request of a session.
func (k *churn) raw(token, body string) string {
	return fmt.Sprintf("POST /v1/stream HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", k.host, token, len(body), body)
}

// stall brings a client that never reads what it asked for, and changes that. The
// oldest ones go, if the server has not sent them away.
func (k *churn) stall(r *rand.Rand) error {
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
	}}
	conn, err := dialer.Dial("tcp", k.host)
	if err != nil {
		return err
	}
	k.deaf = append(k.deaf, conn)
	if len(k.deaf) > 8 {
		_ = k.deaf[0].Close()
		k.deaf = k.deaf[1:]
	}
	body := fmt.Sprintf(`{"subs":[{"id":1,"q":"messages.list","args":{"room":%d,"limit":200}}]}`, wideRoom)
	if _, err := conn.Write([]byte(k.raw(k.token(r), body))); err != nil {
		return err
	}
	for range 2 {
		_, err := k.wide.Exec(k.t.Context(), `update messages set body = $1 where id = (select min(id) from messages where room_id = $2)`,
			strings.Repeat(fmt.Sprintf("%08x", r.Uint32()), 250), wideRoom)
		if err != nil {
			return err
		}
	}
	return nil
}

// swap replaces the small plugin, and now and then the chat, and waits until the
// witness is shown the new version.
func (k *churn) swap() error {
	k.version++
	k.w.write(k.t, "numbered.wasm", numbered(k.version))
	if k.round%60 == 0 {
		k.w.write(k.t, "chat.wasm", retitled(k.w.chat, k.round/60%2))
	}
	return k.witness.wait("the new version", func() bool {
		var n int
		return json.Unmarshal(valueOf(k.witness.live(3)), &n) == nil && n == k.version
	})
}

// reload has the configuration require a policy that denies, and take it back.
func (k *churn) reload() error {
	k.w.configure(k.t, `require = { "people" = ["numbered/nobody"] }`)
	if err := k.witness.wait("denied by the configuration", func() bool { return k.witness.subs[4].status == "denied" }); err != nil {
		return err
	}
	k.w.configure(k.t, "")
	return k.witness.wait("the people again", func() bool { return k.witness.live(4) != nil })
}

// leave sends away all that came, but for the witness.
func (k *churn) leave() {
	for _, conn := range k.deaf {
		_ = conn.Close()
	}
	k.deaf = nil
	k.c.http.CloseIdleConnections()
}
