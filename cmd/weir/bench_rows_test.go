package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// BenchmarkRow runs weir bench at the size of its rows of docs/benchmarks.md. The
// server is a process of its own, and so is the floor writer beside N9 and N10.
func BenchmarkRow(b *testing.B) {
	binary := builtWeir(b)
	type metrics func(r *benchReport, metric func(float64, string))
	for _, row := range []struct {
		name, mode string
		report     metrics
	}{
		{"N2", "latency", func(r *benchReport, metric func(float64, string)) {
			metric(r.P50MS, "p50-ms")
			metric(r.P99MS, "p99-ms")
			metric(r.CPUShare, "cores")
		}},
		{"N9", "idle", func(r *benchReport, metric func(float64, string)) {
			metric(float64(r.RSSStream)/1e3, "KB/stream")
			metric(r.CPUShare, "cores")
		}},
		{"N10", "fanout", func(r *benchReport, metric func(float64, string)) {
			metric(r.CPUFrameUS, "us-cpu/frame")
			metric(r.P99MS, "p99-ms")
		}},
		{"N11", "mixed", func(r *benchReport, metric func(float64, string)) {
			metric(float64(r.RSSPeak)/1e6, "MB-peak")
			metric(r.P99MS, "p99-ms")
			metric(r.OldestP99MS, "oldest-p99-ms")
			metric(r.CPUShare, "cores")
		}},
		{"N12", "herd", func(r *benchReport, metric func(float64, string)) {
			metric(r.HerdMS, "last-told-ms")
			metric(r.HerdOpenMS, "all-back-ms")
			metric(100*r.HerdUnchanged, "%-unchanged")
			metric(float64(r.Connections), "connections")
		}},
		{"N13", "stalled", func(r *benchReport, metric func(float64, string)) {
			metric(r.P99MS, "p99-ms")
			metric(r.CalmP99MS, "calm-p99-ms")
			metric(r.StalledRatio, "ratio")
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), binary, "bench", row.mode, "--full", "--json")
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				var r benchReport
				if err := json.Unmarshal(out, &r); err != nil {
					b.Fatal(err)
				}
				row.report(&r, b.ReportMetric)
				if row.name == "N9" || row.name == "N10" { // the floor writer, in the same run
					bytes, frame := startFloor(b, r.Plan.Size).measure(b, r.Plan.Sessions, max(r.Plan.Count, 1))
					b.ReportMetric(float64(bytes)/1e3, "floor-KB/stream")
					b.ReportMetric(float64(frame)/1e3, "floor-us-cpu/frame")
				}
				b.ReportMetric(float64(r.Frames), "frames")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
