package serve

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin returns the handler of the operators' listener: /healthz, /readyz,
// /plugins, /metrics and what Operator answers. Whoever reaches it may see it
// all: it must never be reachable from outside (D8).
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.handleReady)
	mux.HandleFunc("GET /plugins", s.handlePlugins)
	mux.Handle("GET /metrics", s.metrics())
	s.operate(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A name other than loopback's may be a page's own, pointed at this
		// address (DNS rebinding); an address is not.
		host := hostName(r.Host)
		if _, err := netip.ParseAddr(host); err != nil && !isLoopbackName(host) && host != "" {
			http.Error(w, "use the address of the admin listener, not a name", http.StatusMisdirectedRequest)
			return
		}
		if !ownPage(r) {
			http.Error(w, "this page's site may not ask the admin listener", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// RunAdmin serves Admin on l until ctx ends. It returns nil when it was ctx that
// ended it.
func (s *Server) RunAdmin(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.Admin(), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handleReady answers 200 when all conditions hold and 503 when one does not,
// with the list of all.
func (s *Server) handleReady(w http.ResponseWriter, _ *http.Request) {
	list := s.conditions()
	ready := !slices.ContainsFunc(list, func(c Condition) bool { return !c.OK && !c.Mild })
	body, err := json.Marshal(struct {
		Ready      bool        `json:"ready"`
		Conditions []Condition `json:"conditions"`
	}{ready, list})
	if err != nil {
		panic("BUG: conditions cannot be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(body, '\n'))
}

// maxScrapes bounds the scrapes at a moment; more get 503.
const maxScrapes = 4

// metrics returns the handler of /metrics. Its registry is its own: nothing that
// a library registers by itself is shown.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(figures{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		// One figure that cannot be told must not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	})
}

// figures collects the rooms' statistics when they are asked for. A field of a
// room's plain struct is weir_{room}_{field}:
//
//   - uint64 is a counter and gets the suffix _total;
//   - int, int64, float64 and bool are gauges;
//   - time.Duration is a gauge in seconds and gets the suffix _seconds;
//   - *Histogram is a histogram of seconds and gets the suffix _seconds;
//   - an embedded struct's fields count as the room's own;
//   - a map with strings as keys and a tag `label:"name"` is one of these for
//     each entry, and a map of maps with `label:"one,two"`; the room keeps the
//     keys few.
//
// The tag `help:"text"` is what the figure means. Other fields are not for
// metrics.
type figures struct{ server *Server }

var _ prometheus.Collector = figures{}

// Describe announces nothing: what a room tells is known when it is asked.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect asks all rooms.
func (f figures) Collect(out chan<- prometheus.Metric) {
	collect(out, "serve", f.server.Stats())
	for room, stats := range f.server.cfg.Rooms {
		collect(out, room, stats())
	}
	ready := prometheus.NewDesc("weir_ready", "Whether a condition of /readyz holds.", []string{"condition"}, nil)
	for _, c := range f.server.conditions() {
		send(out, ready, prometheus.GaugeValue, truth(c.OK), c.Name)
	}
}

// collect sends the figures of one room.
func collect(out chan<- prometheus.Metric, room string, stats any) {
	v := reflect.Indirect(reflect.ValueOf(stats))
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if field.Anonymous {
			collect(out, room, v.Field(i).Interface())
			continue
		}
		name, help := "weir_"+snake(room)+"_"+snake(field.Name), field.Tag.Get("help")
		if h, ok := v.Field(i).Interface().(*Histogram); ok {
			sendHistogram(out, prometheus.NewDesc(name+"_seconds", help, nil, nil), h)
			continue
		}
		label := field.Tag.Get("label")
		if one, two, ok := strings.Cut(label, ","); ok {
			collectPairs(out, v.Field(i), name, help, []string{one, two})
			continue
		}
		if label == "" || field.Type.Kind() != reflect.Map || field.Type.Key().Kind() != reflect.String {
			if n, suffix, kind, ok := figure(v.Field(i)); ok {
				send(out, prometheus.NewDesc(name+suffix, help, nil, nil), kind, n)
			}
			continue
		}
		for _, key := range v.Field(i).MapKeys() {
			if n, suffix, kind, ok := figure(v.Field(i).MapIndex(key)); ok {
				send(out, prometheus.NewDesc(name+suffix, help, []string{label}, nil), kind, n, key.String())
			}
		}
	}
}

// collectPairs sends the figures of a map of maps, which has two labels.
func collectPairs(out chan<- prometheus.Metric, outer reflect.Value, name, help string, labels []string) {
	for _, one := range outer.MapKeys() {
		inner := outer.MapIndex(one)
		for _, two := range inner.MapKeys() {
			if n, suffix, kind, ok := figure(inner.MapIndex(two)); ok {
				send(out, prometheus.NewDesc(name+suffix, help, labels, nil), kind, n, one.String(), two.String())
			}
		}
	}
}

func sendHistogram(out chan<- prometheus.Metric, desc *prometheus.Desc, h *Histogram) {
	count, sum, buckets := h.read()
	m, err := prometheus.NewConstHistogram(desc, count, sum, buckets)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	out <- m
}

// send sends one figure, or why it cannot be one.
func send(out chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, n float64, labels ...string) {
	m, err := prometheus.NewConstMetric(desc, kind, n, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	out <- m
}

// figure reads one number of a room.
func figure(v reflect.Value) (n float64, suffix string, kind prometheus.ValueType, ok bool) {
	if d, isDuration := v.Interface().(time.Duration); isDuration {
		return d.Seconds(), "_seconds", prometheus.GaugeValue, true
	}
	switch v.Kind() {
	case reflect.Uint64:
		return float64(v.Uint()), "_total", prometheus.CounterValue, true
	case reflect.Int, reflect.Int64:
		return float64(v.Int()), "", prometheus.GaugeValue, true
	case reflect.Float64:
		return v.Float(), "", prometheus.GaugeValue, true
	case reflect.Bool:
		return truth(v.Bool()), "", prometheus.GaugeValue, true
	}
	return 0, "", 0, false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// snake writes a Go name as metrics are written: FrameBytes is frame_bytes.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '.' || r == '/' || r == '-' || r == ' ':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			if i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]) && unicode.IsUpper(runes[i-1])) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
