package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/abi"
	"weir/reactor"
)

// Kind says what a statement is prepared for.
type Kind uint8

// The kinds.
const (
	Read  Kind = iota + 1 // queries and policies: one SELECT that can be kept live
	Write                 // mutations
)

// Param is one parameter of a statement.
type Param struct {
	Name string
	OID  uint32
	Type string // as PostgreSQL prints it
}

// Watch is a table that a statement reads, for change capture.
type Watch struct {
	Table        uint32 // OID of the root
	Schema, Name string
	// Columns are those whose values conditions compare, by attnum and by name.
	Columns     []uint16
	ColumnNames []string
}

// Statement is one checked statement. It is safe for concurrent use; nothing
// needs to be closed.
type Statement struct {
	db       *DB
	index    int // in the manifest; -1 for dynamic SQL
	kind     Kind
	key      []string
	template *abi.Template
	names    []string // without $now
	variants []variant
	nest     []nest

	mu      sync.Mutex // one derivation at a time; protects failure
	failure error
}

// variant is a statement with some of its fragments.
type variant struct {
	text     string
	params   []int // indexes in names; -1 is $now
	now      int   // index of $now in params, or -1
	analysis atomic.Pointer[analysis]
}

// nest is a child statement and the columns that tie it to its parent.
type nest struct {
	name       string
	on, column int
	child      *Statement
}

// Prepare checks statement index of a manifest for a kind of use: PostgreSQL
// parses and describes every variant and, for reads, explains it. What cannot
// run or cannot be kept live is refused with a sentence that says what to write
// instead (W10). Nested statements are prepared too.
func (d *DB) Prepare(ctx context.Context, statements []abi.Statement, index int, kind Kind) (*Statement, error) {
	s, err := d.prepare(ctx, statements, index, kind, 0)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// PrepareSQL is Prepare for SQL that no manifest declares.
func (d *DB) PrepareSQL(ctx context.Context, sql string, kind Kind) (*Statement, error) {
	s, err := d.compile(ctx, abi.Statement{SQL: sql}, -1, kind)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d *DB) prepare(ctx context.Context, all []abi.Statement, index int, kind Kind, depth int) (*Statement, error) {
	if index < 0 || index >= len(all) {
		return nil, refused("statement %d does not exist: the manifest has %d", index, len(all))
	}
	s, err := d.compile(ctx, all[index], index, kind)
	if err != nil {
		return nil, err
	}
	for _, n := range all[index].Nest {
		if depth >= abi.MaxNest {
			return nil, s.sentence(refused("nests statements more than %d deep", abi.MaxNest))
		}
		child, err := d.prepare(ctx, all, n.Statement, Read, depth+1)
		if err != nil {
			return nil, err
		}
		if err := s.attach(n, child); err != nil {
			return nil, s.sentence(err)
		}
	}
	return s, nil
}

// compile parses a template and analyses its variants.
func (d *DB) compile(ctx context.Context, decl abi.Statement, index int, kind Kind) (*Statement, error) {
	s := &Statement{db: d, index: index, kind: kind, key: decl.Key}
	var err error
	if s.template, err = abi.ParseStatement(decl.SQL); err != nil {
		return nil, s.sentence(refused("is not well-formed: %v", err))
	}
	for _, name := range s.template.Names() {
		if name != abi.ParamNow {
			s.names = append(s.names, name)
		}
	}
	s.variants = make([]variant, s.template.Variants())
	for i := range s.variants {
		v := &s.variants[i]
		v.now = -1
		text, params := s.template.Text(i)
		v.text = text
		for j, name := range params {
			v.params = append(v.params, slices.Index(s.names, name))
			if name == abi.ParamNow {
				v.now = j
			}
		}
	}
	return s, s.Refresh(ctx)
}

// Refresh derives again what Forget dropped, and returns why the statement no
// longer works, or nil.
func (s *Statement) Refresh(ctx context.Context) error {
	for i := range s.variants {
		if _, err := s.analysis(ctx, &s.variants[i]); err != nil {
			return err
		}
	}
	return nil
}

// Err returns why the statement could not be derived again at its last use, or
// nil.
func (s *Statement) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// analysis returns the analysis of a variant, deriving it again after a change
// of the schema (R4).
func (s *Statement) analysis(ctx context.Context, v *variant) (*analysis, error) {
	if a := v.analysis.Load(); a != nil && s.db.fresh(a) {
		return a, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := v.analysis.Load(); a != nil && s.db.fresh(a) {
		return a, nil
	}
	a, err := s.db.analysis(ctx, analysisKey{text: v.text, kind: s.kind, now: v.now})
	if err == nil {
		err = s.accept(a)
	}
	if again := v.analysis.Load() != nil; err == nil && again && s.kind == Read {
		// W1: it may read tables now that nobody has captured yet.
		err = s.db.config.Recapture(ctx, a.watch(nil))
	}
	if err != nil {
		err = s.sentence(err)
		if errors.Is(err, ErrRefused) {
			s.failure = err
		}
		return nil, err
	}
	s.failure = nil
	v.analysis.Store(a)
	return a, nil
}

// accept checks what depends on the declaration: key, order, equal columns.
func (s *Statement) accept(a *analysis) error {
	for _, name := range s.key {
		if !slices.ContainsFunc(a.columns, func(c Column) bool { return c.Name == name }) {
			return refused("declares the key column %q, which it does not return: select it, or take it out of the key", name)
		}
	}
	for i := range a.limits {
		if err := a.limits[i].refuse(a.columns, s.key); err != nil {
			return err
		}
	}
	if first := s.variants[0].analysis.Load(); first != nil && s.db.fresh(first) {
		same := func(a, b Column) bool { return a.Name == b.Name && a.OID == b.OID }
		if !slices.EqualFunc(first.columns, a.columns, same) {
			return refused("returns other columns when a fragment is kept: fragments may only change conditions")
		}
	}
	return nil
}

// sentence puts "statement N" before a refusal.
func (s *Statement) sentence(err error) error {
	var own *Error
	if !errors.As(err, &own) {
		return err
	}
	who := "the statement"
	if s.index >= 0 {
		who = fmt.Sprintf("statement %d", s.index)
	}
	e := *own
	if e.is == ErrRefused {
		e.what = who + " " + e.what
	} else {
		e.what = who + ": " + e.what
	}
	return &e
}

// attach ties a nested statement to s.
func (s *Statement) attach(n abi.Nest, child *Statement) error {
	cols, kids := s.Columns(), child.Columns()
	on := slices.IndexFunc(cols, func(c Column) bool { return c.Name == n.On })
	column := slices.IndexFunc(kids, func(c Column) bool { return c.Name == n.Column })
	switch {
	case on < 0:
		return refused("nests %q by the column %q, which it does not return: select it", n.Name, n.On)
	case column < 0:
		return refused("nests %q by the child's column %q, which statement %d does not return: select it there", n.Name, n.Column, n.Statement)
	case slices.ContainsFunc(cols, func(c Column) bool { return c.Name == n.Name }):
		return refused("nests %q, but returns a column of that name: rename one", n.Name)
	case cols[on].layout.family() != kids[column].layout.family():
		return refused("nests %q by columns of different types, %s and %s: cast one", n.Name, cols[on].Type, kids[column].Type)
	}
	params := child.Params()
	if len(params) != 1 || !strings.HasSuffix(params[0].Type, "[]") {
		return refused("nests statement %d, whose only parameter must be a set: write where %s = any($%s)", n.Statement, n.Column, n.Column+"s")
	}
	s.nest = append(s.nest, nest{name: n.Name, on: on, column: column, child: child})
	return nil
}

// Index returns the statement's place in the manifest, -1 for dynamic SQL.
func (s *Statement) Index() int { return s.index }

// Kind returns what the statement was prepared for.
func (s *Statement) Kind() Kind { return s.kind }

// Names returns the parameters that a caller fills, in order. $now is not among
// them. The caller must not change it.
func (s *Statement) Names() []string { return s.names }

// Key returns the declared row key.
func (s *Statement) Key() []string { return s.key }

// UsesNow reports whether the statement reads $now.
func (s *Statement) UsesNow() bool { return len(s.names) < len(s.template.Names()) }

// Params returns the parameters with their types, in the order of Names.
func (s *Statement) Params() []Param {
	out := make([]Param, len(s.names))
	for i := range s.variants {
		a := s.variants[i].analysis.Load()
		for j, p := range s.variants[i].params {
			if p >= 0 && a != nil && j < len(a.params) {
				out[p] = Param{Name: s.names[p], OID: a.params[j].oid, Type: a.params[j].name}
			}
		}
	}
	return out
}

// Columns returns the columns of the result, without nested statements.
func (s *Statement) Columns() []Column { return s.variants[0].analysis.Load().columns }

// Nested returns the names of the nested columns and their statements.
func (s *Statement) Nested() (names []string, children []*Statement) {
	for i := range s.nest {
		names, children = append(names, s.nest[i].name), append(children, s.nest[i].child)
	}
	return names, children
}

// Derived returns the snapshot of the oldest analysis.
func (s *Statement) Derived() reactor.Snapshot {
	var oldest reactor.Snapshot
	for i := range s.variants {
		if a := s.variants[i].analysis.Load(); oldest.IsZero() || oldest.Compare(a.derived) > 0 {
			oldest = a.derived
		}
	}
	return oldest
}

// Tables returns the tables that any variant or nested statement reads.
func (s *Statement) Tables() []Watch {
	var out []Watch
	for i := range s.variants {
		out = s.variants[i].analysis.Load().watch(out)
	}
	for i := range s.nest {
		for _, w := range s.nest[i].child.Tables() {
			t := &relation{oid: w.Table, schema: w.Schema, name: w.Name}
			out = addWatch(out, t, nil)
			for k := range w.Columns {
				out = addWatch(out, t, &tableColumn{attr: w.Columns[k], name: w.ColumnNames[k]})
			}
		}
	}
	return out
}

// watch adds the tables of an analysis, and the columns that it compares.
func (a *analysis) watch(out []Watch) []Watch {
	for _, t := range a.tables {
		out = addWatch(out, t, nil)
	}
	for i := range a.atoms {
		for col := range a.atoms[i].compared() {
			out = addWatch(out, a.atoms[i].table, col)
		}
	}
	return out
}

// addWatch adds a table, and a column of it if there is one.
func addWatch(out []Watch, t *relation, c *tableColumn) []Watch {
	i := slices.IndexFunc(out, func(w Watch) bool { return w.Table == t.oid })
	if i < 0 {
		i = len(out)
		out = append(out, Watch{Table: t.oid, Schema: t.schema, Name: t.name})
	}
	if w := &out[i]; c != nil && !slices.Contains(w.Columns, c.attr) {
		w.Columns, w.ColumnNames = append(w.Columns, c.attr), append(w.ColumnNames, c.name)
	}
	return out
}

// bind chooses the variant for the arguments and converts them.
func (s *Statement) bind(ctx context.Context, q *Query) (*job, error) {
	if len(q.Args) != len(s.names) {
		return nil, s.sentence(&Error{
			code: abi.BadRequest, is: ErrType,
			what: fmt.Sprintf("takes %d arguments (%s), got %d", len(s.names), strings.Join(s.names, ", "), len(q.Args)),
		})
	}
	v := &s.variants[0]
	if len(s.variants) > 1 {
		v = &s.variants[s.template.Variant(func(name string) bool {
			i := slices.Index(s.names, name)
			return i >= 0 && !q.Args[i].IsNull()
		})]
	}
	known := v.analysis.Load()
	a, err := s.analysis(ctx, v)
	if err != nil {
		return nil, err
	}
	j := &job{query: q, analysis: a, fresh: a != known, args: make([]argument, len(v.params)), now: q.Now}
	if j.now.IsZero() && s.UsesNow() {
		j.now = time.Now()
	}
	for i, p := range v.params {
		var value abi.Value
		name := abi.ParamNow
		if p >= 0 {
			value, name = q.Args[p], s.names[p]
		} else {
			value = abi.Int(j.now.UnixMicro())
		}
		if j.args[i], err = convert(value, a.params[i]); err != nil {
			return nil, s.sentence(&Error{
				code: abi.BadRequest, is: ErrType,
				what: fmt.Sprintf("argument %s is %s: %v", name, a.params[i].name, err),
			})
		}
	}
	return j, nil
}
