package host_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// noting is a plugin with a mutation that inserts what it is told, and one that
// may fail.
func noting() []byte {
	zero, one := 0, 1
	text := abi.Schema{Type: "string"}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `insert into notes (body) values ($body) returning id, body`},
			{SQL: `insert into notes (id, body) values ($id, 'fixed') returning id`},
		},
		Functions: []abi.Function{
			{Name: "note", Kind: abi.Mutation, Statement: &zero, Access: abi.Access{SignedIn: true}, Fields: []abi.Field{{Name: "body", Schema: text}}},
			{Name: "fix", Kind: abi.Mutation, Statement: &one, Access: abi.Access{SignedIn: true}, Fields: []abi.Field{{Name: "id", Schema: abi.Schema{Type: "integer"}}}},
		},
	}
	return guest("noting", m, nil, wasmtest.Unreachable())
}

// keyed calls a mutation with an idempotency key.
func keyed(t *testing.T, url, token, key, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// A call with an idempotency key runs once: who asks again gets the answer of the
// first time, the transaction too. Another principal's key is another key, other
// arguments are refused, and what failed is tried again.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML: withKey, Schema: `create table notes (id serial primary key, body text not null)`,
		Modules: map[string][]byte{"n.wasm": noting()},
	})
	ann, bob := token(t, secret), token(t, secret, "sub", "bob")
	conn := s.DB.Conn(t)
	count := func(want int) {
		t.Helper()
		if n := number(t, conn, `select count(*) from notes`); n != want {
			t.Errorf("%d notes, want %d", n, want)
		}
	}
	note, fix := s.URL+"/v1/call/note", s.URL+"/v1/call/fix"
	f := func(url, token, key, body string, status int) string {
		t.Helper()
		got, text := keyed(t, url, token, key, body)
		if got != status {
			t.Errorf("%s %s: %d %s, want %d", key, body, got, text, status)
		}
		return text
	}
	first := f(note, ann, "k1", `{"body":"a"}`, 200)
	if again := f(note, ann, "k1", `{ "body" : "a" }`, 200); again != first || !strings.Contains(first, `"tx":"`) {
		t.Errorf("again: %s, first %s", again, first)
	}
	count(1)
	if other := f(note, bob, "k1", `{"body":"a"}`, 200); other == first {
		t.Errorf("bob was told ann's answer")
	}
	count(2)
	if text := f(note, ann, "k1", `{"body":"b"}`, 400); !strings.Contains(text, "other arguments") {
		t.Errorf("reused: %s", text)
	}
	f(note, ann, "", `{"body":"a"}`, 200)
	f(note, ann, "", `{"body":"a"}`, 200)
	count(4)

	// A try that failed has left nothing: not the row, and not the key.
	s.SQL(t, `insert into notes values (1000, 'in the way')`)
	f(fix, ann, "k2", `{"id":1000}`, 500)
	s.SQL(t, `delete from notes where id = 1000`)
	f(fix, ann, "k2", `{"id":1000}`, 200)
	f(fix, ann, "k2", `{"id":1000}`, 200)
	count(5)

	f(note, ann, strings.Repeat("x", 65), `{"body":"a"}`, 400)
	f(note, ann, strings.Repeat("x", 64), `{"body":"a"}`, 200)
	count(6)

	// Many at once: one runs.
	var wg sync.WaitGroup
	answers := make([]string, 12)
	for i := range answers {
		wg.Go(func() { _, answers[i] = keyed(t, note, ann, "k3", `{"body":"race"}`) })
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] && !strings.Contains(a, `"conflict"`) {
			t.Errorf("two answers: %s and %s", a, answers[0])
		}
	}
	count(7)

	// The role of plugins' SQL reads none of it.
	if _, err := conn.Exec(t.Context(), `set role weir_guest; select * from weir.calls`); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("plugins may read the answers: %v", err)
	}
}
