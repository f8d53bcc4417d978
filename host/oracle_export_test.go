package host

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/host/db"
	"weir/host/devdb/devdbtest"
	"weir/host/tenant"
)

// World is a random schema with who writes into it, for the oracle that watches a
// whole host from outside.
type World struct {
	schema  *oracleSchema
	hand    *oracleHand
	Refused Refusals
}

// Refusals count the statements that weir does not take.
type Refusals = refusals

// NewWorld draws a world.
func NewWorld(seed uint64) *World {
	return &World{schema: newOracleSchema(rand.New(rand.NewPCG(seed, 1)))}
}

// Schema is the SQL that makes it. IntN draws a number below n.
func (w *World) Schema() string  { return w.schema.sql.String() }
func (w *World) IntN(n int) int  { return w.schema.rng.IntN(n) }
func (w *World) History() string { return w.hand.history() }
func (w *World) Wrote() string   { return w.hand.counts.String() }
func (w *World) Forget()         { w.hand.forget() }
func (w *World) EndLong()        { w.hand.endLong() }

// Fill connects those who write to a database that has the schema.
func (w *World) Fill(t *testing.T, seed uint64, server devdbtest.DB) {
	w.hand = newOracleHand(t, w.schema, seed, server)
}

// Turn does one thing that may change results; see oracleHand.turn.
func (w *World) Turn(check func()) { w.hand.turn(check) }

// Question is a query of a world, as a plugin states it and as PostgreSQL alone
// reads it.
type Question struct {
	SQL     string
	Key     []string
	Args    []abi.Value // of $p0, $p1, …
	Plain   string
	Ordered bool
	Reads   func() string // its read set now
	Refused func() error  // why it cannot be kept live now

	Nest     []abi.Nest      // its Statement counts the children
	Children []abi.Statement // so do their nests
}

// Question draws a query that a host takes, with a key for deltas if it can have
// one.
func (w *World) Question(t *testing.T, h *Host) Question {
	t.Helper()
	database := h.spaces()[tenant.DefaultName].database
	prepare := func(s abi.Statement) (*db.Statement, error) {
		return database.Prepare(t.Context(), []abi.Statement{s}, 0, db.Read)
	}
	for range 500 {
		q := w.schema.query()
		s, err := prepare(abi.Statement{SQL: q.sql})
		if w.Refused.note(q.sql, err); err != nil {
			continue
		}
		out := Question{SQL: q.sql, Args: q.args, Plain: q.plain, Ordered: q.ordered, Reads: s.Explain}
		out.Refused = func() error {
			_, err := prepare(abi.Statement{SQL: q.sql, Key: out.Key})
			return err
		}
		for _, key := range [][]string{{"o1", "o2"}, {"o1"}, {"k"}} { // no matter if it names one row only
			if s, err := prepare(abi.Statement{SQL: q.sql, Key: key}); err == nil && w.schema.chance(60) {
				out.Key, out.Reads = key, s.Explain
				break
			}
		}
		return out
	}
	t.Fatal("no random query is accepted")
	return Question{}
}

// Stated is a question beside those that are drawn, with the key of its rows.
func Stated(sql string, key ...string) Question {
	return Question{SQL: sql, Key: key, Plain: sql, Reads: func() string { return sql }}
}

// Nested is a question whose rows hold others, two deep, in a list each.
func Nested(key ...string) Question {
	q := Stated("select id, k, t, repeat('so it goes ', 9) as x from plain order by id", key...)
	q.Nest = []abi.Nest{{Name: "below", On: "k", Statement: 0, Column: "k"}}
	q.Children = []abi.Statement{
		{
			SQL:  "select k, id, t from pair where k = any($ks) order by id, k",
			Nest: []abi.Nest{{Name: "deep", On: "id", Statement: 1, Column: "id"}},
		},
		{SQL: "select k, id, t from bare where id = any($ids) order by k, t"},
	}
	q.Plain = `select id, k, t, repeat('so it goes ', 9) as x, (
		select coalesce(jsonb_agg(jsonb_build_object('k', c.k, 'id', c.id, 't', c.t, 'deep', (
			select coalesce(jsonb_agg(jsonb_build_object('k', b.k, 'id', b.id, 't', b.t) order by b.k, b.t), '[]') from bare b where b.id = c.id
		)) order by c.id, c.k), '[]') from pair c where c.k = p.k) as below from plain p order by id`
	return q
}

// Answers asks PostgreSQL all questions at once.
func Answers(t *testing.T, conn *pgconn.PgConn, questions []Question) []Answer {
	t.Helper()
	o := &oracle{oracleHand: &oracleHand{t: t}, plain: conn}
	for _, q := range questions {
		o.live = append(o.live, &liveQuery{oracleQuery: oracleQuery{plain: q.Plain}})
	}
	var out []Answer
	for i, a := range o.answers() {
		if !questions[i].Ordered {
			slices.Sort(a.rows)
		}
		out = append(out, Answer{a, questions[i].Ordered})
	}
	return out
}

// Answer is what PostgreSQL says when it is asked now.
type Answer struct {
	oracleAnswer
	ordered bool
}

// Failed is PostgreSQL's error, or "". Rows is how many rows there are.
func (a *Answer) Failed() string { return a.err }
func (a *Answer) Rows() int      { return len(a.rows) }

// Form says how rows are to be read for Wrong.
func (a *Answer) Form() string { return fmt.Sprint(a.columns) }

// Read returns rows of a frame like those of the answer.
func (a *Answer) Read(rows []json.RawMessage) ([]string, error) {
	var out []string
	for _, text := range rows {
		var object map[string]any
		dec := json.NewDecoder(strings.NewReader(string(text)))
		dec.UseNumber()
		if err := dec.Decode(&object); err != nil {
			return nil, err
		}
		row := make([]string, len(a.columns))
		for i, c := range a.columns {
			row[i] = canonicalJSON(c.DataTypeOID, object[c.Name])
		}
		out = append(out, strings.Join(row, "|"))
	}
	if !a.ordered {
		slices.Sort(out)
	}
	return out, nil
}

// Differs says how rows that were read differ from the answer, or "".
func (a *Answer) Differs(got []string) string {
	if slices.Equal(got, a.rows) {
		return ""
	}
	return fmt.Sprintf(" got %q\nwant %q", got, a.rows)
}

// Plain connects as the role of plugins' SQL.
func Plain(t *testing.T, server devdbtest.DB) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(server.As("weir_guest", ""))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the database may be gone
	return conn
}

// OracleSlice and OracleSeed are WEIR_ORACLE and WEIR_ORACLE_SEED.
var (
	OracleSlice = oracleSlice
	OracleSeed  = oracleSeed
)
