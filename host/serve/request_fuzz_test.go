package serve

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/auth"
)

// FuzzRequest: W8, S8. Whatever request net/http lets through: no handler panics, the
// fault is the client's, and nothing that it wrote stands in a header of the answer,
// but for an origin that the configuration names, or in the log.
// Cases: 67, 69, 71, 73, 74.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET /v1/q/messages.list?room=7&text=a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /v1/q/messages.list?args=%7B%22room%22%3A1%7D HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"x\", W/*\r\n\r\n",
		"GET /v1/q/rooms.list?ticket=x&as=ann HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream;q=0.1\r\nLast-Event-ID: a~b\r\n\r\n",
		"POST /v1/q/messages.list HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"room\":1}",
		"POST /v1/call/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: 43\r\n\r\n{\"subs\":[{\"id\":1,\"q\":\"big\",\"args\":{\"n\":1}}]}",
		"POST /v1/stream/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"drop\":[1]}",
		"POST /v1/ticket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ann\r\nContent-Length: 0\r\n\r\n",
		"DELETE /v1/cookie HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nCookie: weir=ann; weir=bob\r\n\r\n",
		"OPTIONS /v1/call/x HTTP/1.1\r\nHost: api.example\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"HEAD /t/acme/v1/schema HTTP/1.1\r\nHost: [::1]:80\r\nX-Forwarded-For: 1.2.3.4, ::1\r\n\r\n",
		"GET /%2e%2e//v1/../weir.js;a=b?x=%ff#y HTTP/1.1\r\nHost: LOCALHOST.\r\nOrigin: null\r\n\r\n",
		"GET /v1/openapi.json HTTP/1.0\r\nHost: localhost:99999\r\n\r\n",
	} {
		f.Add(text)
	}
	log := &lockedBuffer{}
	b := newBackend(f)
	s, err := New(Config{
		Backend: b, Version: "0.1.0", Writer: WriterGoroutine, Hosts: []string{"api.example"}, Origins: []string{"https://app.example"},
		Schema: func(string) Schema { return Schema{JSON: []byte(`{"functions":[]}`), Digest: "d1"} },
		Verify: (&fixture{verify: map[string]*auth.Caller{"ann": {Principal: auth.Principal{Tenant: "default", Issuer: "i", Subject: "ann"}, Expires: time.Now().Add(time.Hour)}}}).verifyToken,
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		f.Fatal(err)
	}
	b.mutation = func(*auth.Caller, string, Arguments) (Answer, error) {
		return Answer{}, &abi.Error{Code: "no", Message: "no", Public: true}
	}
	b.start(s)
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
		b.close()
	})
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || len(text) > 64<<10 {
			return
		}
		// A stream ends with its request; one result comes before that.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if r = r.WithContext(ctx); wantsStream(r) || strings.Contains(r.URL.Path, "/stream") {
			cancel()
		}
		defer cancel()
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		res := w.Result()
		if res.StatusCode >= 500 {
			body, _ := io.ReadAll(res.Body)
			t.Errorf("%q: %d %s", text, res.StatusCode, body)
		}
		for name, values := range res.Header {
			for _, value := range values {
				if strings.ContainsAny(value, "\r\n\x00") {
					t.Errorf("%q: the header %s is %q", text, name, value)
				}
			}
		}
		if origin := res.Header.Get("Access-Control-Allow-Origin"); origin != "" && !strings.EqualFold(origin, "https://app.example") && !sameOrigin(origin, r.Host) {
			t.Errorf("%q: pages of %s may read", text, origin)
		}
		if said := log.String(); strings.Contains(said, `"BUG`) || strings.Contains(said, "panic") {
			t.Errorf("%q: the log says %s", text, said)
		}
		log.mu.Lock()
		log.b.Reset()
		log.mu.Unlock()
	})
}
