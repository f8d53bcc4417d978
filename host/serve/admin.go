package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Admin returns the handler of the operators' listener: /healthz, /readyz and
// /metrics. It must never be reachable from outside (D8).
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.handleReady)
	mux.HandleFunc("GET /metrics", s.handleMetrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A name other than loopback's may be a page's own, pointed at this
		// address (DNS rebinding); an address is not.
		host := hostName(r.Host)
		if _, err := netip.ParseAddr(host); err != nil && !isLoopbackName(host) && host != "" {
			http.Error(w, "use the address of the admin listener, not a name", http.StatusMisdirectedRequest)
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
	ready := !slices.ContainsFunc(list, func(c Condition) bool { return !c.OK })
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

// handleMetrics writes the rooms' statistics in Prometheus' text format.
func (s *Server) handleMetrics(w http.ResponseWriter, _ *http.Request) {
	var m metrics
	m.room("serve", s.Stats())
	for room, stats := range s.cfg.Rooms {
		m.room(room, stats())
	}
	for _, c := range s.conditions() {
		m.add("weir_ready", "gauge", "condition", c.Name, truth(c.OK))
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(m.text())
}

// metrics gathers figures. A field of a room's plain struct is
// weir_{room}_{field}:
//
//   - uint64 is a counter and gets the suffix _total;
//   - int, int64, float64 and bool are gauges;
//   - time.Duration is a gauge in seconds and gets the suffix _seconds;
//   - a map with strings as keys and a tag `label:"name"` is one of these for
//     each entry; the room keeps the keys few.
//
// Other fields are not for metrics.
type metrics struct {
	samples []sample
}

type sample struct {
	name, kind, label, value string
	figure                   float64
}

func (m *metrics) add(name, kind, label, value string, figure float64) {
	m.samples = append(m.samples, sample{name, kind, label, value, figure})
}

func (m *metrics) room(room string, stats any) {
	v := reflect.Indirect(reflect.ValueOf(stats))
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name := "weir_" + snake(room) + "_" + snake(field.Name)
		label := field.Tag.Get("label")
		if label == "" || field.Type.Kind() != reflect.Map || field.Type.Key().Kind() != reflect.String {
			if f, suffix, kind, ok := figure(v.Field(i)); ok {
				m.add(name+suffix, kind, "", "", f)
			}
			continue
		}
		for _, key := range v.Field(i).MapKeys() {
			if f, suffix, kind, ok := figure(v.Field(i).MapIndex(key)); ok {
				m.add(name+suffix, kind, label, key.String(), f)
			}
		}
	}
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// text writes the samples, those of one name together, as the format demands.
func (m *metrics) text() []byte {
	slices.SortFunc(m.samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	var b []byte
	last := ""
	for _, s := range m.samples {
		if s.name != last {
			b = append(b, "# TYPE "+s.name+" "+s.kind+"\n"...)
			last = s.name
		}
		b = append(b, s.name...)
		if s.label != "" {
			b = append(b, "{"+s.label+"=\""+escapeLabel.Replace(s.value)+"\"}"...)
		}
		b = append(b, ' ')
		b = strconv.AppendFloat(b, s.figure, 'g', -1, 64)
		b = append(b, '\n')
	}
	return b
}

// figure reads one number of a room.
func figure(v reflect.Value) (value float64, suffix, kind string, ok bool) {
	if d, isDuration := v.Interface().(time.Duration); isDuration {
		return d.Seconds(), "_seconds", "gauge", true
	}
	switch v.Kind() {
	case reflect.Uint64:
		return float64(v.Uint()), "_total", "counter", true
	case reflect.Int, reflect.Int64:
		return float64(v.Int()), "", "gauge", true
	case reflect.Float64:
		return v.Float(), "", "gauge", true
	case reflect.Bool:
		return truth(v.Bool()), "", "gauge", true
	}
	return 0, "", "", false
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
