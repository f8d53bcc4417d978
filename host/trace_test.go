package host_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"weir/host/hosttest"
)

// span is what a collector reads of one.
type span struct {
	TraceID      string
	SpanID       string
	ParentSpanID string
	Name         string
	Start        string `json:"startTimeUnixNano"`
	End          string `json:"endTimeUnixNano"`
	Attributes   []struct {
		Key   string
		Value struct{ StringValue string }
	}
}

// TestOneChangeIsOneTrace: from the read of the log over apply, wait and run to the
// first socket that has taken the result.
func TestOneChangeIsOneTrace(t *testing.T) {
	t.Parallel()
	spans := make(chan span, 1000)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		for _, a := range body.ResourceSpans {
			for _, b := range a.ScopeSpans {
				for _, s := range b.Spans {
					spans <- s
				}
			}
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(collector.Close)
	s := chat(t, hosttest.Config{Traces: collector.URL + "/"})
	stream := watch(t, s.URL+"/v1/q/messages.list?room=1&as=ann")
	stream.result(t)
	s.SQL(t, `insert into messages (room_id, author, body) values (1, 'bob', 'traced')`)
	stream.result(t)

	traces := map[string][]span{}
	timeout := time.After(time.Minute)
	for {
		select {
		case one := <-spans:
			if one.Start > one.End || len(one.TraceID) != 32 || len(one.SpanID) != 16 {
				t.Errorf("a span: %+v", one)
			}
			traces[one.TraceID] = append(traces[one.TraceID], one)
			if wholeTrace(traces[one.TraceID]) {
				return
			}
		case <-timeout:
			t.Fatalf("no trace is whole: %v", traces)
		}
	}
}

// wholeTrace reports whether a frame was written for a run, which was caused by a change
// that was applied and waited for.
func wholeTrace(trace []span) bool {
	under := func(parent, name string) (list []string) {
		for _, s := range trace {
			if s.Name == name && s.ParentSpanID == parent {
				list = append(list, s.SpanID)
			}
		}
		return list
	}
	for _, root := range under("", "weir change") {
		for _, run := range under(root, "weir run") {
			if len(under(run, "weir write")) == 1 && len(under(root, "weir apply")) > 0 && len(under(root, "weir wait")) > 0 {
				return true
			}
		}
	}
	return false
}
