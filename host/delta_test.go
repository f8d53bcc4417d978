package host_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/host/hosttest"
)

// Keys of every type that PostgreSQL orders lead to deltas, as JavaScript writes
// them.
func TestDeltaKeysOfEachType(t *testing.T) {
	t.Parallel()
	keys := map[string][]string{ // the key's text of the row that changes
		`7`: {"i4"}, `9007199254741000`: {"i8"}, `"00000000-0000-0000-0000-000000000007"`: {"u"}, `"2026-01-07T00:00:00.000000Z"`: {"ts"},
		`"7.50"`: {"n"}, `7.5`: {"f"}, `"a \"\\\n7"`: {"s"}, `true,"a \"\\\n7"`: {"b", "s"}, `7,"7.50"`: {"i4", "n"},
	}
	var statements []statement
	var subs, want []string
	for text, key := range keys {
		name := "by." + strings.Join(key, "_")
		statements = append(statements, statement{name: name, sql: "select i4, i8, u, ts, n, f, s, b, body from things order by i4", key: key})
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":%q}`, len(subs), name))
		want = append(want, text)
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema: `create table things (i4 int primary key, i8 bigint, u uuid, ts timestamptz, n numeric, f float8, s text, b bool, body text);
			insert into things select i, 9007199254740980 + 3 * i, ('00000000-0000-0000-0000-00000000000' || i)::uuid, timestamptz '2026-01-01 00:00Z' + (i - 1) * interval '1 day',
				(i || '.50')::numeric, i + 0.5, E'a "\\\n' || i, i > 3, repeat('body ', 50) from generate_series(1, 7) i;`,
		Modules: map[string][]byte{"things.wasm": module(statements...)},
	})
	stream := session(t, s.URL+"/v1/stream?delta=1", "", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	queries := map[string]string{} // the text of the key of each query
	for range subs {
		sub := stream.named(t, "sub")
		queries[sub["q"].(string)] = want[int(sub["id"].(float64))]
		stream.result(t)
	}
	s.SQL(t, "update things set body = body || 'more' where i4 = 7")
	for range subs {
		d := stream.named(t, "delta")
		set := d["set"].([]any)
		if got := set[0].([]any)[1]; len(set) != 1 || got != queries[d["q"].(string)] {
			t.Errorf("the key is %s, want %s", got, queries[d["q"].(string)])
		}
	}
}
