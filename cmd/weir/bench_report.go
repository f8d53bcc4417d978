package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/host/load"
)

// benchBounds are the limits that applied, and the streams that they allow.
type benchBounds struct {
	Descriptors int64 `json:"descriptors"`
	Memory      int64 `json:"memory"`
	Streams     int64 `json:"streams"`
}

// benchReport is what was measured. Bytes are bytes, MS milliseconds, US
// microseconds; what was not measured is 0.
type benchReport struct {
	Plan          benchPlan   `json:"plan"`
	Bounds        benchBounds `json:"bounds"`
	Subscriptions int         `json:"subscriptions"`
	Seconds       float64     `json:"seconds"`
	OpenMS        float64     `json:"open_ms"`
	OpenCPUUS     float64     `json:"open_cpu_us"` // of the server, for each session

	Transactions int64 `json:"transactions"`
	NotBegun     int64 `json:"not_begun"` // all writers were busy
	Failed       int64 `json:"failed"`
	failure      error

	Latencies int64   `json:"latencies"` // one for each commit and subscription
	P50MS     float64 `json:"p50_ms"`
	P90MS     float64 `json:"p90_ms"`
	P99MS     float64 `json:"p99_ms"`
	MaxMS     float64 `json:"max_ms"`

	Frames     int64            `json:"frames"`
	Deltas     int64            `json:"deltas"`
	Bytes      int64            `json:"bytes"`
	Reconnects int64            `json:"reconnects"`
	Lost       int64            `json:"lost"`
	Codes      map[string]int64 `json:"codes"`

	CPUShare   float64 `json:"cpu"`          // of the server, in cores
	CPUFrameUS float64 `json:"cpu_frame_us"` // of the server, for each frame, with all that led to it
	RSSBefore  int64   `json:"rss_before"`
	RSSIdle    int64   `json:"rss_idle"`
	RSSStream  int64   `json:"rss_stream"` // idle, for each session
	RSSPeak    int64   `json:"rss_peak"`
	RSSEnd     int64   `json:"rss_end"`

	HerdOpenMS    float64 `json:"herd_open_ms,omitempty"` // from the first reconnect to the last
	HerdMS        float64 `json:"herd_ms,omitempty"`      // from the last reconnect to the last result
	HerdUnchanged float64 `json:"herd_unchanged,omitempty"`
	Connections   int     `json:"connections,omitempty"` // to the database, at most
	OldestP99MS   float64 `json:"oldest_p99_ms,omitempty"`
	CalmP99MS     float64 `json:"calm_p99_ms,omitempty"`
	StalledRatio  float64 `json:"stalled_ratio,omitempty"`

	Missing int   `json:"missing"` // subscriptions without a result at the end
	Stale   int   `json:"stale"`   // that show less than what was committed
	Back    int64 `json:"back"`    // results that were older than those before
	Wrong   int64 `json:"wrong"`   // results whose version is not theirs
	Stored  int   `json:"stored"`  // rows that are not what was committed last
	Asked   int   `json:"asked"`   // groups that were asked for by a request
	Differ  int   `json:"differ"`  // that show another version than the answer
}

func (r *benchReport) written(w load.Written) {
	r.Transactions += w.Done
	r.NotBegun += w.Late
	r.Failed += w.Failed
	if r.failure == nil {
		r.failure = w.Err
	}
}

// counted takes the figures of the last phase; faults are those of all.
func (r *benchReport) counted(c load.Counts) {
	r.Latencies = c.Latency.Count()
	r.P50MS, r.P90MS = millisecond(c.Latency.Quantile(0.5)), millisecond(c.Latency.Quantile(0.9))
	r.P99MS, r.MaxMS = millisecond(c.Latency.Quantile(0.99)), millisecond(c.Latency.Max())
	r.Frames, r.Deltas, r.Bytes = c.Frames, c.Deltas, c.Bytes
	r.Reconnects += c.Reconnects
	r.Lost += c.Lost
	r.Back += c.Back
	r.Wrong += c.Wrong
	for code, n := range c.Codes {
		r.Codes[code] += n
	}
}

// verdict is nil if nothing was wrong.
func (r *benchReport) verdict() error {
	var faults []string
	for _, fault := range []struct {
		n    int64
		text string
	}{
		{int64(r.Missing), "subscriptions have no result"},
		{int64(r.Stale), "subscriptions show less than what was committed"},
		{r.Back, "results were older than those before"},
		{r.Wrong, "results have a version that is not theirs"},
		{int64(r.Stored), "rows are not what was committed last"},
		{int64(r.Differ), "versions are not what the server answers"},
	} {
		if fault.n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", fault.n, fault.text))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("what was shown is wrong: %s: look at the server's log, and report it", strings.Join(faults, ", "))
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of the writes failed: %w: look at the database's log", r.Failed, r.failure)
	}
	return nil
}

func (r *benchReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	writeTable(w, table{head: []string{"figure", "value"}, rows: r.rows()})
	return nil
}

// rows are the figures for people: what was not measured is left out.
func (r *benchReport) rows() (rows [][]string) {
	add := func(shown bool, name, format string, args ...any) {
		if shown {
			rows = append(rows, []string{name, fmt.Sprintf(format, args...)})
		}
	}
	p := r.Plan
	add(true, "sessions", "%d, %d subscriptions, %d groups; opened in %s", p.Sessions, r.Subscriptions, p.Groups, ms(r.OpenMS))
	add(r.Bounds.Streams > 0, "limits", "%d open files, %s free: %d streams", r.Bounds.Descriptors, size(r.Bounds.Memory), r.Bounds.Streams)
	add(r.Transactions > 0, "transactions", "%d in %.1f s, %d failed, %d not begun", r.Transactions, r.Seconds, r.Failed, r.NotBegun)
	add(r.Latencies > 0, "commit to client", "p50 %s, p90 %s, p99 %s, max %s (%d)", ms(r.P50MS), ms(r.P90MS), ms(r.P99MS), ms(r.MaxMS), r.Latencies)
	add(r.CalmP99MS > 0, "the others, stalled", "p99 %s, and %s while all read (%.2f ×)", ms(r.P99MS), ms(r.CalmP99MS), r.StalledRatio)
	add(r.OldestP99MS > 0, "oldest dirty group", "p99 %s", ms(r.OldestP99MS))
	add(p.Mode == "herd", "herd", "all back in %s, last told %s later, %.1f %% unchanged, at most %d database connections", ms(r.HerdOpenMS), ms(r.HerdMS), 100*r.HerdUnchanged, r.Connections)
	add(true, "frames", "%d, %d of them deltas, %s", r.Frames, r.Deltas, size(r.Bytes))
	add(r.RSSIdle > 0, "server CPU", "%.2f cores, %.1f µs a frame, %.0f µs to open a session", r.CPUShare, r.CPUFrameUS, r.OpenCPUUS)
	add(r.RSSIdle > 0, "server memory", "%s before, %s idle (%s a session), %s at most", size(r.RSSBefore), size(r.RSSIdle), size(r.RSSStream), size(r.RSSPeak))
	add(true, "sessions lost", "%d, %d came back", r.Lost, r.Reconnects)
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		add(true, "told", "%s %d", oneLine(code), r.Codes[code])
	}
	add(true, "at the end", "%d missing, %d stale, %d went back, %d wrong versions", r.Missing, r.Stale, r.Back, r.Wrong)
	add(true, "compared", "%d groups with a request: %d differ; %d rows differ", r.Asked, r.Differ, r.Stored)
	return rows
}

func ms(n float64) string { return millis(time.Duration(n * float64(time.Millisecond))) }

func millisecond(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / 1e6 }
