package db

import (
	"context"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/host/devdb/devdbtest"
)

const benchSQL = `select id, author, body, sent_at from messages where room_id = $room order by id desc limit $limit`

const floorSQL = `select id, author, body, sent_at from messages where room_id = $1 order by id desc limit $2`

// benchEpoch is the expression that production passes for PostgreSQL 15 and
// later: its cost is part of every transaction.
const benchEpoch = `pg_catalog.concat_ws('/',
 (select c.system_identifier from pg_catalog.pg_control_system() c),
 case when pg_catalog.pg_is_in_recovery() then 'standby'
  else pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) end,
 extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text, ` +
	`extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.text)`

// startBench is start with the epoch that production reads.
func startBench(b *testing.B) (*DB, devdbtest.DB) {
	b.Helper()
	d, server := start(b)
	d.config.EpochExpr = func(int) string { return benchEpoch }
	return d, server
}

func benchConn(b *testing.B, d *DB) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), d.config.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// BenchmarkQueryAlone is N20's query alone: one statement in a read transaction
// of its own, rows as JSON, beside the same SQL by pgx with its statement cache.
func BenchmarkQueryAlone(b *testing.B) {
	d, _ := startBench(b)
	s := prepare(b, d, benchSQL, "id")
	args := []abi.Value{abi.Int(7), abi.Int(10)}
	b.Run("weir", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			w, err := d.Wave(b.Context(), []Query{{Statement: s, Args: args}})
			if err != nil || w.Answers[0].Err != nil {
				b.Fatal(err, w.Answers[0].Err)
			}
			buf = w.Answers[0].Rows.AppendJSON(buf[:0])
		}
	})
	b.Run("pgx", func(b *testing.B) {
		conn := benchConn(b, d)
		b.ReportAllocs()
		for b.Loop() {
			rows, err := conn.Query(b.Context(), floorSQL, 7, 10)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				_ = rows.RawValues()
			}
			if rows.Err() != nil {
				b.Fatal(rows.Err())
			}
		}
	})
}

// BenchmarkWave is N20's query in a wave, beside the same SQL in one pgx.Batch
// without a transaction.
func BenchmarkWave(b *testing.B) {
	d, _ := startBench(b)
	s := prepare(b, d, benchSQL, "id")
	const n = 100
	queries := make([]Query, n)
	for i := range queries {
		queries[i] = Query{Statement: s, Args: []abi.Value{abi.Int(int64(i % 9)), abi.Int(10)}}
	}
	b.Run("weir/queries="+strconv.Itoa(n), func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			w, err := d.Wave(b.Context(), queries)
			if err != nil {
				b.Fatal(err)
			}
			for i := range w.Answers {
				if w.Answers[i].Err != nil {
					b.Fatal(w.Answers[i].Err)
				}
				buf = w.Answers[i].Rows.AppendJSON(buf[:0])
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/query")
	})
	b.Run("pgx/queries="+strconv.Itoa(n), func(b *testing.B) {
		conn := benchConn(b, d)
		description, err := conn.Prepare(b.Context(), "floor", floorSQL)
		if err != nil {
			b.Fatal(err)
		}
		formats := []int16{1, 1, 0, 1}
		b.ReportAllocs()
		for b.Loop() {
			batch := &pgconn.Batch{}
			for i := range n {
				batch.ExecPrepared(description.Name, [][]byte{strconv.AppendInt(nil, int64(i%9), 10), []byte("10")}, nil, formats)
			}
			results := conn.PgConn().ExecBatch(b.Context(), batch)
			for results.NextResult() {
				for results.ResultReader().NextRow() {
				}
			}
			if err := results.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/query")
	})
}

// BenchmarkRows is the cost of a row from the wire to JSON, beside the rows read
// and thrown away.
func BenchmarkRows(b *testing.B) {
	d, server := startBench(b)
	server.Exec(b, `insert into messages (room_id, author, body) select 50, i, repeat('x', 80) from generate_series(1, 1000) i`)
	s := prepare(b, d, `select id, author, n, body, sent_at from messages where room_id = 50`)
	b.Run("weir", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			w, err := d.Wave(b.Context(), []Query{{Statement: s}})
			if err != nil || w.Answers[0].Rows.Len() != 1000 {
				b.Fatal(err, w.Answers[0].Err)
			}
			buf = w.Answers[0].Rows.AppendJSON(buf[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
	})
	b.Run("discard", func(b *testing.B) {
		conn := benchConn(b, d)
		if _, err := conn.Prepare(b.Context(), "floor", `select id, author, n, body, sent_at from messages where room_id = 50`); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			result := conn.PgConn().ExecPrepared(b.Context(), "floor", nil, nil, []int16{1, 1, 1, 0, 1})
			for result.NextRow() {
			}
			if _, err := result.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
	})
}

// BenchmarkAppendJSON is the encoding alone.
func BenchmarkAppendJSON(b *testing.B) {
	d, server := startBench(b)
	server.Exec(b, `insert into messages (room_id, author, body) select 50, i, repeat('x', 80) from generate_series(1, 1000) i`)
	a := one(b, d, prepare(b, d, `select id, author, n, body, sent_at from messages where room_id = 50`))
	buf := a.Rows.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = a.Rows.AppendJSON(buf[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}
