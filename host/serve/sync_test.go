package serve

import (
	"net/http"
	"testing"

	"weir/host/auth"
	"weir/reactor"
)

// writes makes every mutation a commit that sets the result of a query; its
// argument is the content. The log is read when may says so.
func (b *backend) writes(content map[string]string, may <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mutation = func(_ *auth.Caller, name string, _ Arguments) (Answer, error) {
		b.mu.Lock()
		tx := reactor.TxStamp(epoch, b.xid+1)
		b.mu.Unlock()
		go func() { // after the answer, or before
			<-may
			b.set(name, content[name])
		}()
		return Answer{Tx: tx}, nil
	}
}

// F10: the caller of a mutation is told when its stream shows what it wrote: after
// the new result, after a result that is equal, and when it watches nothing of it.
func TestSyncedComesAfterWhatWasWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	f.user("bob", "bob", inAnHour())
	always, held := make(chan struct{}), make(chan struct{})
	close(always)
	f.backend.writes(map[string]string{"rooms.list": rows(7), "messages.list": rows(0), "big": rows(3)}, always)
	s := f.session(`{"id":1,"q":"rooms.list"},{"id":2,"q":"messages.list"}`, "Authorization: Bearer ann")
	s.expect("sub", "message", "sub", "message")
	call := func(name string) string {
		t.Helper()
		res := f.do(http.MethodPost, "/v1/call/"+name, `{}`, "Authorization: Bearer ann", "Weir-Session: "+s.sid)
		tx := sseEvent{data: res.body}.field("tx")
		if res.status != 200 || tx == "" {
			t.Fatalf("%s: %d %s", name, res.status, res.body)
		}
		return tx
	}
	synced := func(e sseEvent, tx string) {
		t.Helper()
		if e.name != "synced" || e.field("tx") != tx || e.field("pending") != "" || e.field("at") == "" {
			t.Errorf("got %s, want synced %s", e, tx)
		}
	}
	tx := call("rooms.list")
	list := s.expect("sub", "message", "synced")
	if list[1].data == "" || list[0].field("id") != "1" {
		t.Errorf("got %v", list)
	}
	synced(list[2], tx)

	tx = call("messages.list") // the same content again
	synced(s.expect("synced")[0], tx)
	tx = call("big") // nobody watches it
	synced(s.expect("synced")[0], tx)

	f.backend.writes(map[string]string{"rooms.list": rows(8)}, held)
	tx = call("rooms.list")
	if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":3,"q":"big"}]}`, "Authorization: Bearer ann"); res.status != 204 {
		t.Fatalf("other news: %d %s", res.status, res.body)
	}
	s.expect("sub", "message")
	close(held)
	synced(s.expect("sub", "message", "synced")[2], tx)

	// Somebody else's session hears nothing of it.
	other := f.session(`{"id":1,"q":"big"}`, "Authorization: Bearer bob")
	other.expect("sub", "message")
	if res := f.do(http.MethodPost, "/v1/call/rooms.list", `{}`, "Authorization: Bearer ann", "Weir-Session: "+other.sid); res.status != 200 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	f.backend.set("big", rows(4))
	other.expect("sub", "message")
	s.close()
	other.close()
}

// F10: a query that fails after the mutation has been heard of too.
func TestSyncedDoesNotWaitForWhatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	s := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer ann")
	s.expect("sub", "message")
	f.backend.mutation = func(*auth.Caller, string, Arguments) (Answer, error) {
		f.backend.mu.Lock()
		tx := reactor.TxStamp(epoch, f.backend.xid+1)
		f.backend.mu.Unlock()
		f.backend.fail("rooms.list", &Refusal{Kind: "deadline"})
		return Answer{Tx: tx}, nil
	}
	if res := f.do(http.MethodPost, "/v1/call/rooms.list", `{}`, "Authorization: Bearer ann", "Weir-Session: "+s.sid); res.status != 200 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	s.until("synced", func(e sseEvent) bool { return e.name == "synced" })
	s.close()
}
