package jobs

import "testing"

// BenchmarkJob is the life of a job, each step a round trip and a transaction,
// behind a queue of a hundred thousand.
func BenchmarkJob(b *testing.B) {
	s := newSite(b)
	s.guest.exec(`select weir.job_create('count', to_jsonb(n)) from generate_series(1, 100000) n`)
	s.admin.exec(`analyze weir.jobs`)
	for b.Loop() {
		j := s.guest.one("default")
		for _, call := range []string{`weir.job_progress($1::text::uuid, $2, 30, 'on it')`, `weir.job_progress($1::text::uuid, $2, 60, 'on it')`, `weir.job_finish($1::text::uuid, $2)`} {
			s.guest.want("true", call, j.ID, j.Attempt)
		}
		s.guest.get(`weir.job_create('more')`)
	}
	s.admin.want("true", `select count(*) >= 100000 from weir.jobs where status = 'queued'`)
	b.ReportMetric(5, "calls/op")
}
