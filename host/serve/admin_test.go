package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func (f *fixture) admin(path, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+path, nil)
	w := httptest.NewRecorder()
	f.server.Admin().ServeHTTP(w, r)
	return w
}

func (f *fixture) readyz() *httptest.ResponseRecorder { return f.admin("/readyz", "127.0.0.1:8091") }

func TestReadyzListsConditions(t *testing.T) {
	t.Parallel()
	list := []Condition{{Name: "capture", OK: true}, {Name: "database", OK: true}}
	f := newFixture(t, func(c *Config) { c.Ready = func() []Condition { return list } })
	if w := f.readyz(); w.Code != 200 || !strings.Contains(w.Body.String(), `"ready":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	list[1] = Condition{Name: "database", Message: "cannot be reached: check database.url"}
	w := f.readyz()
	want := `{"ready":false,"conditions":[{"name":"capture","ok":true},{"name":"database","ok":false,"message":"cannot be reached: check database.url"},{"name":"accepting","ok":true}]}`
	if w.Code != 503 || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.admin("/healthz", "localhost"); w.Code != 200 {
		t.Errorf("healthz %d", w.Code)
	}
}

func TestMetricsAreNamedByRoom(t *testing.T) {
	t.Parallel()
	type roomStats struct {
		Groups      int
		OldestDirty time.Duration
		Behind      bool
		Executions  uint64
		HTTPErrors  uint64
		Ratio       float64
		ByReason    map[string]uint64 `label:"reason"`
		Unlabelled  map[string]uint64
		Name        string
		hidden      int
	}
	f := newFixture(t, func(c *Config) {
		c.Rooms = map[string]func() any{"reactor": func() any {
			return roomStats{3, 1500 * time.Millisecond, true, 7, 2, 0.5, map[string]uint64{"a\"\n": 1, "b": 2}, map[string]uint64{"x": 1}, "n", 1}
		}}
		c.Ready = func() []Condition { return []Condition{{Name: "capture", OK: true}} }
	})
	f.do(http.MethodGet, "/v1/q/nothing", "")
	w := f.admin("/metrics", "127.0.0.1")
	text := w.Body.String()
	for _, line := range []string{
		"# TYPE weir_reactor_groups gauge\nweir_reactor_groups 3\n",
		"# TYPE weir_reactor_oldest_dirty_seconds gauge\nweir_reactor_oldest_dirty_seconds 1.5\n",
		"weir_reactor_behind 1\n",
		"# TYPE weir_reactor_executions_total counter\nweir_reactor_executions_total 7\n",
		"weir_reactor_http_errors_total 2\n",
		"weir_reactor_ratio 0.5\n",
		"# TYPE weir_reactor_by_reason_total counter\nweir_reactor_by_reason_total{reason=\"a\\\"\\n\"} 1\nweir_reactor_by_reason_total{reason=\"b\"} 2\n",
		"weir_ready{condition=\"accepting\"} 1\nweir_ready{condition=\"capture\"} 1\n",
		"weir_serve_sessions 0\n",
		"weir_serve_problems_total{code=\"unknown_function\"} 1\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	for _, word := range []string{"unlabelled", "name", "hidden"} {
		if strings.Contains(text, "weir_reactor_"+word) {
			t.Errorf("%s is a metric", word)
		}
	}
}

// A page that points its own name at loopback must not read the figures.
func TestAdminListenerTakesNoNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for host, want := range map[string]int{
		"evil.example": 421, "localhost:1": 200, "127.0.0.1": 200, "[::1]:8091": 200, "10.2.3.4:8091": 200,
	} {
		if w := f.admin("/metrics", host); w.Code != want {
			t.Errorf("%s: %d, want %d", host, w.Code, want)
		}
	}
	if w := f.admin("/debug/pprof/", "localhost"); w.Code != 404 {
		t.Errorf("pprof: %d", w.Code)
	}
	if res := f.do(http.MethodGet, "/metrics", ""); res.status != 404 {
		t.Errorf("metrics on the public listener: %d", res.status)
	}
}
