package serve

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"weir/abi"
	"weir/reactor"
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

// scrape reads /metrics as Prometheus does: the kind of each family, and each
// value by its name and label.
func (f *fixture) scrape(t *testing.T) (kinds map[string]string, values map[string]float64) {
	t.Helper()
	w := f.admin("/metrics", "127.0.0.1")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if w.Code != 200 || err != nil {
		t.Fatalf("%d %v", w.Code, err)
	}
	kinds, values = map[string]string{}, map[string]float64{}
	for name, family := range families {
		kinds[name] = strings.ToLower(family.GetType().String())
		for _, m := range family.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			values[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return kinds, values
}

// rooms makes fixtures with one room beside the server's own.
func rooms(name string, stats func() any) func(*Config) {
	return func(c *Config) {
		c.Rooms = map[string]func() any{name: stats}
		c.Ready = func() []Condition { return []Condition{{Name: "capture", OK: true}, {Name: "tables"}} }
	}
}

func TestMetricsAreNamedByRoom(t *testing.T) {
	t.Parallel()
	type Shared struct {
		Changes uint64 `help:"Changes."`
	}
	type roomStats struct {
		Shared
		Wait        *Histogram    `help:"Wait."`
		Groups      int           `help:"Groups."`
		LogBytes    int64         `help:"Bytes."`
		OldestDirty time.Duration `help:"Wait."`
		Behind      bool          `help:"Behind."`
		Executions  uint64        `help:"Executions."`
		HTTPErrors  uint64
		Ratio       float64
		ByReason    map[string]uint64 `label:"reason"`
		Unlabelled  map[string]uint64
		Name        string
		hidden      int
	}
	var wait Histogram
	for _, d := range []time.Duration{0, time.Millisecond, time.Hour} {
		wait.Add(d)
	}
	f := newFixture(t, rooms("reactor", func() any {
		return &roomStats{Shared{7}, &wait, 3, 1 << 40, 1500 * time.Millisecond, true, 1 << 53, 2, 0.5, map[string]uint64{"a\"\n": 1, "b": 2}, map[string]uint64{"x": 1}, "n", 1}
	}))
	f.do(http.MethodGet, "/v1/q/nothing", "")
	kinds, values := f.scrape(t)
	got := map[string]float64{}
	for key, v := range values {
		if strings.HasPrefix(key, "weir_reactor_") || strings.HasPrefix(key, "weir_ready") || strings.HasPrefix(key, "weir_serve_problems") || key == "weir_serve_sessions" {
			got[key] = v
		}
	}
	want := map[string]float64{
		"weir_reactor_groups": 3, "weir_reactor_log_bytes": 1 << 40, "weir_reactor_oldest_dirty_seconds": 1.5,
		"weir_reactor_behind": 1, "weir_reactor_executions_total": 1 << 53, "weir_reactor_http_errors_total": 2,
		"weir_reactor_ratio": 0.5, "weir_reactor_by_reason_total{reason=a\"\n}": 1, "weir_reactor_by_reason_total{reason=b}": 2,
		"weir_ready{condition=accepting}": 1, "weir_ready{condition=capture}": 1, "weir_ready{condition=tables}": 0,
		"weir_reactor_changes_total": 7, "weir_reactor_wait_seconds": 3,
		"weir_serve_sessions": 0, "weir_serve_problems_total{code=unknown_function}": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for name, kind := range kinds {
		want := "gauge"
		switch {
		case strings.HasSuffix(name, "_total"):
			want = "counter"
		case strings.HasSuffix(name, "_wait_seconds"), strings.HasPrefix(name, "weir_serve_") && strings.HasSuffix(name, "_seconds"):
			want = "histogram"
		}
		if strings.HasPrefix(name, "weir_") && kind != want {
			t.Errorf("%s is a %s, not a %s", name, kind, want)
		}
	}
}

// What Prometheus asks of names, units and help texts.
func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, rooms("reactor", func() any { return reactor.Stats{} }))
	f.do(http.MethodGet, "/v1/q/nothing", "")
	f.server.stats.closed(abi.Slow)
	problems, err := promlint.New(f.admin("/metrics", "127.0.0.1").Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsTellOfTheProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, values := f.scrape(t)
	names := []string{"go_goroutines", "go_memstats_heap_alloc_bytes"}
	if runtime.GOOS == "linux" {
		names = append(names, "process_resident_memory_bytes", "process_open_fds")
	}
	for _, name := range names {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
}

// One figure that cannot be told does not hide the others.
func TestMetricThatCannotBeToldHidesNoOther(t *testing.T) {
	t.Parallel()
	type roomStats struct {
		Calls map[string]uint64 `label:"by" help:"Calls."`
		Open  int               `help:"Open."`
	}
	f := newFixture(t, rooms("plugin", func() any { return roomStats{map[string]uint64{"\xff": 1, "ok": 2}, 3} }))
	_, values := f.scrape(t)
	if values["weir_plugin_open"] != 3 || values["weir_plugin_calls_total{by=ok}"] != 2 {
		t.Errorf("%v", values)
	}
}

// Scrapes that hang must not pile up.
func TestMetricsBoundScrapes(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFixture(t, rooms("reactor", func() any { asked <- struct{}{}; <-answer; return struct{}{} }))
	admin := f.server.Admin()
	get := func() int {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/metrics", nil))
		return w.Code
	}
	codes := make(chan int)
	for range maxScrapes {
		go func() { codes <- get() }()
		<-asked
	}
	if code := get(); code != http.StatusServiceUnavailable {
		t.Errorf("one more scrape: %d", code)
	}
	close(answer)
	for range maxScrapes {
		if code := <-codes; code != 200 {
			t.Errorf("a scrape within the bound: %d", code)
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
