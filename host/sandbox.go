package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"weir/abi"
	"weir/host/db"
	"weir/host/inspect"
	"weir/host/tenant"
)

// newInspector makes what judges SQL before PostgreSQL sees it. Nothing is
// started before there is something to judge.
func newInspector(cfg *Config) (*inspect.Inspector, error) {
	return inspect.New(inspect.Config{
		Command: cfg.Inspect, Dir: filepath.Join(cfg.StateDir, "verdicts"), Logger: cfg.Logger,
	})
}

// keepInspector keeps the child of the inspection as long as a plugin is loaded
// that may make SQL up at run time: such a statement comes with a caller, whose
// deadline is shorter than the start of a child may be.
func (h *Host) keepInspector() {
	dynamic := false
	for _, s := range h.spaces() {
		for _, p := range s.plugins.All() {
			dynamic = dynamic || slices.Contains(p.Manifest.Capabilities, string(tenant.DynamicSQL))
		}
	}
	h.inspector.Keep(dynamic)
}

// inspect judges statement index of a manifest, and those nested in it, by the
// allow-list. It does so for plugins that are not the operator's own: a verdict
// that is not known yet costs seconds (docs/RATIONALE.md).
func (c *checker) inspect(ctx context.Context, all []abi.Statement, index int, kind db.Kind, depth int) error {
	if c.space.tenant.Trust == tenant.Trusted || index < 0 || index >= len(all) || depth > abi.MaxNest {
		return nil // what does not exist, or nests deeper, is refused by Prepare
	}
	if err := c.judge(ctx, all[index].SQL, kind); err != nil {
		return about(fmt.Sprintf("statement %d", index), err)
	}
	for _, n := range all[index].Nest {
		if err := c.inspect(ctx, all, n.Statement, db.Read, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// inspectSQL is inspect for SQL that a plugin made up at run time. It is judged
// whosever the plugin is: what it is made of may come from anywhere.
func (c *checker) inspectSQL(ctx context.Context, sql string, kind db.Kind) error {
	if err := c.judge(ctx, sql, kind); err != nil {
		return about("the statement", err)
	}
	return nil
}

// judge judges all that a text may become.
func (c *checker) judge(ctx context.Context, sql string, kind db.Kind) error {
	template, err := abi.ParseStatement(sql)
	if err != nil {
		return &inspect.RefusedError{What: "is not well-formed: " + err.Error()}
	}
	s := inspect.Statement{
		Tenant: c.space.tenant.Name,
		Rules:  inspect.Rules{Kind: inspect.Read, Schema: c.space.tenant.Schema, Functions: c.space.tenant.SQLFunctions},
	}
	if kind == db.Write {
		s.Kind = inspect.Write
	}
	for i := range template.Variants() {
		text, _ := template.Text(i)
		s.Texts = append(s.Texts, text)
	}
	return c.inspector.Check(ctx, s)
}

// about makes a whole one of a refusal.
func about(who string, err error) error {
	var fault *inspect.FaultError
	if errors.As(err, &fault) {
		return fmt.Errorf("%s: %w", who, err)
	}
	return fmt.Errorf("%s %w", who, err)
}

// warnOfExcess logs what the role of a tenant's SQL may do and does not need. The
// private database of weir dev is nobody's wall.
func (h *Host) warnOfExcess(ctx context.Context, s *space) {
	if h.cfg.Dev {
		return
	}
	found, err := s.database.Excess(ctx, s.tenant.SQLFunctions)
	if err != nil {
		h.cfg.Logger.Warn("what the role of plugins' SQL may do is not known", "tenant", s.tenant.Name, "err", err)
	}
	for _, e := range found {
		h.cfg.Logger.Warn(e.String(), "tenant", s.tenant.Name, "mend", e.Do)
	}
}
