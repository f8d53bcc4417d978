package host

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"weir/abi"
	"weir/host/db"
	"weir/host/inspect"
	"weir/host/jobs"
	"weir/host/plugin"
	"weir/reactor"
	"weir/reactor/changelog"
)

// prepared is what a plugin's statements became: nil where a statement is not
// used in that way.
type prepared struct {
	reads  []*db.Statement // for queries and policies
	writes []*db.Statement // for mutations
	// args says, for each function that is one statement, which value of its
	// input each parameter takes.
	args map[string][]int

	mu      sync.Mutex // protects the field below
	dynamic map[string]*db.Statement
}

// maxDynamic bounds the texts of SQL that a plugin made up and that are kept
// ready; above it all are dropped and prepared again.
const maxDynamic = 256

// checker prepares the statements of a plugin and has their tables captured. It
// implements plugin.Checker.
type checker struct {
	space     *space
	capture   *changelog.Capture
	inspector *inspect.Inspector
}

var _ plugin.Checker = (*checker)(nil)

// Check implements plugin.Checker.
func (c *checker) Check(ctx context.Context, m *abi.Manifest) (any, error) {
	p := &prepared{
		reads: make([]*db.Statement, len(m.Statements)), writes: make([]*db.Statement, len(m.Statements)),
		args: map[string][]int{}, dynamic: map[string]*db.Statement{},
	}
	for i := range m.Functions {
		f := &m.Functions[i]
		uses := f.Uses
		if f.Statement != nil {
			uses = append(slices.Clone(uses), *f.Statement)
		}
		kind, list := db.Read, p.reads
		if f.Kind == abi.Mutation {
			kind, list = db.Write, p.writes
		}
		for _, index := range uses {
			if list[index] != nil {
				continue
			}
			if m.Name != jobs.PluginName { // weir's own read what plugins may not
				if err := c.inspect(ctx, m.Statements, index, kind, 0); err != nil {
					return nil, fmt.Errorf("%s: %w", f.Name, err)
				}
			}
			s, err := c.space.database.Prepare(ctx, m.Statements, index, kind)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			list[index] = s
		}
		if f.Statement != nil {
			args, err := positions(f, list[*f.Statement].Names())
			if err != nil {
				return nil, err
			}
			p.args[f.Name] = args
		}
	}
	return p, c.watch(ctx, p.reads)
}

// watch has the tables of statements captured: before their first run, so that
// no change is missed (W10).
func (c *checker) watch(ctx context.Context, statements []*db.Statement) error {
	var watches []changelog.Watch
	for _, s := range statements {
		if s == nil {
			continue
		}
		for _, w := range s.Tables() {
			watches = merge(watches, w)
		}
	}
	if len(watches) == 0 {
		return nil
	}
	return c.capture.Watch(ctx, watches)
}

// recapture captures the tables of a query whose read set was derived again, if
// they are not: a view may read another table now, or a table of the same name
// was made anew.
func (h *Host) recapture(ctx context.Context, list []db.Watch) error {
	known := h.capture.Tables()
	var watches []changelog.Watch
	for _, w := range list {
		table, ok := known[w.Table]
		for _, c := range w.Columns {
			ok = ok && (table.Columns[c].Watched || table.Columns[c].Kind == reactor.KindNone)
		}
		if !ok {
			watches = merge(watches, w)
		}
	}
	if len(watches) == 0 {
		return nil
	}
	return h.capture.Watch(ctx, watches)
}

// merge adds a statement's table to the list, one entry a table.
func merge(watches []changelog.Watch, w db.Watch) []changelog.Watch {
	for i := range watches {
		if watches[i].Table == w.Table {
			for _, column := range w.Columns {
				if !slices.Contains(watches[i].Columns, column) {
					watches[i].Columns = append(watches[i].Columns, column)
				}
			}
			return watches
		}
	}
	return append(watches, changelog.Watch{Table: w.Table, Columns: slices.Clone(w.Columns)})
}

// positions says where a function's input has each parameter of its statement.
func positions(f *abi.Function, names []string) ([]int, error) {
	var fields []string
	for _, field := range f.Fields {
		fields = append(fields, field.Name)
	}
	for _, claim := range f.Claims {
		fields = append(fields, claim.Name)
	}
	for _, field := range f.Scope {
		fields = append(fields, field.Name)
	}
	if f.Action {
		fields = append(fields, "action")
	}
	if f.Call {
		fields = append(fields, "function")
	}
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = slices.Index(fields, name); at[i] < 0 {
			return nil, fmt.Errorf("%s: its statement takes $%s, which is no field, claim or scope of the function", f.Name, name)
		}
	}
	return at, nil
}

// adHoc prepares SQL that no manifest declares (capability sql.dynamic).
func (c *checker) adHoc(ctx context.Context, p *prepared, sql string, kind db.Kind) (*db.Statement, error) {
	key := string(rune('0'+kind)) + sql
	p.mu.Lock()
	s := p.dynamic[key]
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if err := c.inspectSQL(ctx, sql, kind); err != nil {
		return nil, err
	}
	s, err := c.space.database.PrepareSQL(ctx, sql, kind)
	if err != nil {
		return nil, err
	}
	if kind == db.Read {
		if err := c.watch(ctx, []*db.Statement{s}); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dynamic) >= maxDynamic {
		clear(p.dynamic)
	}
	p.dynamic[key] = s
	return s, nil
}
