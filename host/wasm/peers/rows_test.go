package peers

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"weir/abi"
	"weir/host/db"
	"weir/host/devdb/devdbtest"
	"weir/host/wasm"
)

func TestMain(m *testing.M) { devdbtest.Main(m) }

// row is what the queries of the plugin are about.
type row struct {
	ID     int64     `json:"id"`
	RoomID int64     `json:"room_id"`
	Author string    `json:"author"`
	Body   string    `json:"body"`
	SentAt time.Time `json:"sent_at"`
	State  string    `json:"state"`
	Score  float64   `json:"score"`
	N      int32     `json:"n"`
}

const rowsSchema = `
do $$ begin create role weir_peers login; exception when duplicate_object or unique_violation then null; end $$;
create table messages (id bigint primary key, room_id bigint not null, author text not null, body text not null,
	sent_at timestamptz not null, state text not null, score double precision not null, n int not null);
insert into messages select i, i % 9, 'user ' || i, repeat('some words ', 8), '2024-01-01Z'::timestamptz + i * interval '1 s', 'open', i / 8.0, i
	from generate_series(1, 50) i;
grant select on messages to weir_peers;`

// BenchmarkRows is N18: 50 rows of 8 columns that PostgreSQL returned, as JSON. By
// handle a plugin in Go asks for them and returns them without looking; the host
// writes the JSON, as a server does. Beside it, the host alone, encoding/json, and
// a plugin that is given JSON, decodes it and encodes it again.
func BenchmarkRows(b *testing.B) {
	server := devdbtest.New(b)
	server.Exec(b, rowsSchema)
	code := goGuest(b, "plugin")
	manifest := describe(b, code)
	rows := read(b, server, manifest)
	pass, through := function(b, manifest, "rows.pass"), function(b, manifest, "rows.through")
	const most = 1 << 20

	var buf []byte
	want := string(rows.AppendJSON(nil))
	var structs []row
	must(b, json.Unmarshal([]byte(want), &structs))
	var out any
	var view *wasm.View
	all := []contestant{
		{name: "host", run: func() error { buf = rows.AppendJSON(buf[:0]); return nil }},
		{name: "encoding-json", run: func() error {
			text, err := json.Marshal(structs)
			out = text
			return err
		}},
		{name: "native-through", run: func() error {
			var all []row
			if err := json.Unmarshal([]byte(want), &all); err != nil {
				return err
			}
			text, err := json.Marshal(all)
			out = text
			return err
		}},
	}
	ctx := context.Background()
	for _, m := range modes {
		if m.callers > 1 {
			continue
		}
		p := weirPool(b, code, m)
		c := &wasm.Call{
			Function: pass, Name: "rows.pass", Kind: abi.Query, Input: abi.AppendArray(nil, 0), Now: time.Unix(1_700_000_000, 0),
			Statements: wasm.Statements{manifest.Functions[pass].Uses[0]: 0}, Backend: answer{rows},
		}
		run := func() error {
			out, err := p.Call(ctx, c)
			if err != nil {
				return err
			}
			if qs := out.View.Queries(); !qs[0].Ran() { // a plan: the host runs it after the guest
				_ = c.Backend.Query(ctx, qs)
			}
			view = out.View
			buf, err = view.AppendJSON(buf[:0], most)
			return err
		}
		must(b, run())
		if string(buf) != want {
			b.Fatalf("by handle: %s\nwant %s", buf, want)
		}
		all = append(all, contestant{name: "handle-" + m.name, run: run})
	}
	all = append(all, contestant{name: "view", run: func() (err error) { // of it, without the call
		buf, err = view.AppendJSON(buf[:0], most)
		return err
	}})
	p := weirPool(b, code, modes[0])
	run := func() error {
		buf = rows.AppendJSON(buf[:0])
		input := abi.AppendText(abi.AppendArray(nil, 1), string(buf))
		got, err := p.Call(ctx, &wasm.Call{Function: through, Name: "rows.through", Kind: abi.Query, Input: input, Now: time.Unix(1_700_000_000, 0)})
		if err != nil {
			return err
		}
		out, err = abi.DecodeCBOR(got.Value)
		return err
	}
	must(b, run())
	v, _ := out.(abi.Value).Get("json")
	text, _ := v.AsText()
	var back []row
	if err := json.Unmarshal([]byte(text), &back); err != nil || len(back) != len(structs) || back[49] != structs[49] {
		b.Fatalf("through the guest: %v in %s", err, text)
	}
	race(b, append(all, contestant{name: "through-guest", run: run})...)
}

// answer is a backend that has the rows at hand.
type answer struct{ rows *db.Rows }

var _ wasm.Backend = answer{}

// Query implements wasm.Backend.
func (a answer) Query(_ context.Context, qs []*wasm.Query) error {
	for _, q := range qs {
		q.Rows = a.rows
	}
	return nil
}

// Exec implements wasm.Backend.
func (a answer) Exec(ctx context.Context, q *wasm.Query) error { return a.Query(ctx, []*wasm.Query{q}) }

// read runs the plugin's statement.
func read(b *testing.B, server devdbtest.DB, m *abi.Manifest) *db.Rows {
	b.Helper()
	d, err := db.Open(b.Context(), db.Config{URL: server.As("weir_peers", "")})
	must(b, err)
	b.Cleanup(d.Close)
	s, err := d.Prepare(b.Context(), m.Statements, 0, db.Read)
	must(b, err)
	w, err := d.Wave(b.Context(), []db.Query{{Statement: s}})
	must(b, err)
	must(b, w.Answers[0].Err)
	if n := w.Answers[0].Rows.Len(); n != 50 {
		b.Fatalf("%d rows", n)
	}
	return w.Answers[0].Rows
}

// function returns the index of a function.
func function(t testing.TB, m *abi.Manifest, name string) int {
	t.Helper()
	for i := range m.Functions {
		if m.Functions[i].Name == name {
			return i
		}
	}
	t.Fatalf("no function %s", name)
	return 0
}
