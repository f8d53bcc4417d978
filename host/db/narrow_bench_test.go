package db

import (
	"testing"

	"weir/abi"
)

// BenchmarkNarrowed is what it costs in a wave to narrow a read set: by keys that
// the result shows, by a list of them, and by the last row; beside the same
// statement where a view is between, so that it is not narrowed.
func BenchmarkNarrowed(b *testing.B) {
	d, server := startBench(b)
	server.Exec(b, `alter table messages add foreign key (author) references users; create view people as select * from users;
		insert into messages (room_id, author, body, sent_at) select i % 9 + 1, i % 9 + 1, 'body', '2024-01-01Z' from generate_series(1, 2000) i;
		analyze; grant select on all tables in schema public to weir_test`)
	for _, c := range []struct{ name, sql string }{
		{"keys", `select m.id, m.author, u.name from messages m join users u on u.id = m.author where m.room_id = $room order by m.id desc limit 50`},
		{"keys/table", `select m.id, m.author, u.name from messages m join people u on u.id = m.author where m.room_id = $room order by m.id desc limit 50`},
		{"list", `select count(*) as n from messages m join users u on u.id = m.author where m.room_id = $room and m.id < 90`},
		{"list/table", `select count(*) as n from messages m join people u on u.id = m.author where m.room_id = $room and m.id < 90`},
	} {
		s := prepare(b, d, c.sql)
		queries := make([]Query, 100)
		for i := range queries {
			queries[i] = Query{Statement: s, Args: []abi.Value{abi.Int(int64(i%9 + 1))}}
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w, err := d.Wave(b.Context(), queries)
				if err != nil || w.Answers[0].Err != nil {
					b.Fatal(err, w.Answers[0].Err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(queries)), "µs/query")
		})
	}
}
