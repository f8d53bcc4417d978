package host

import (
	"context"
	"fmt"
	"time"

	"weir/host/jobs"
	"weir/reactor/changelog"
)

// Parts are what weir keeps in its schema beside the change log, for
// changelog.SetupConfig.
func Parts() []changelog.Part {
	return []changelog.Part{{Name: "jobs and workflows", Version: jobs.Version, SQL: jobs.SchemaSQL()}}
}

// builtin loads the functions that weir brings itself. A database that was set
// up by an older weir lacks what they read: then they are not there, which is
// told once, and plugins are served all the same.
func (l *loader) builtin(ctx context.Context, s *space) (settled bool) {
	f, failed := l.unbuilt[s]
	if s.plugins.Builtin() != nil || failed && time.Now().Before(f.next) {
		return true
	}
	err := l.host.build(ctx, s)
	switch {
	case err == nil || ctx.Err() != nil:
		delete(l.unbuilt, s)
		return true
	case transient(err):
		l.host.cfg.Logger.Debug("built-in functions wait for the database", "err", err)
		return false
	case !failed:
		l.host.cfg.Logger.Warn("weir.job and weir.workflow are not there: run weir db setup", "tenant", s.tenant.Name, "err", err)
	}
	f.wait = min(max(2*f.wait, 5*time.Second), 5*time.Minute)
	f.next = time.Now().Add(f.wait)
	l.unbuilt[s] = f
	return true
}

// build loads them for one tenant, after a look whether the database knows its
// role as that tenant's: else it would see the jobs of another (W7).
func (h *Host) build(ctx context.Context, s *space) error {
	name, err := jobs.Tenant(ctx, s.database)
	if err != nil {
		return err
	}
	if name != s.tenant.Name {
		return fmt.Errorf("the role %s works for tenant %s, not %s: as weir's role, select weir.tenant_admit('%[1]s', '%[3]s')",
			s.database.Role(), name, s.tenant.Name)
	}
	return s.plugins.Build(ctx, jobs.Manifest())
}

// sweep tidies a tenant's jobs until ctx ends, as long as they are there.
func (h *Host) sweep(ctx context.Context, s *space) error {
	select {
	case <-ctx.Done():
		return nil
	case <-h.ready:
	}
	sweeper := jobs.Sweeper{
		DB: s.database, Keep: s.tenant.Limits.WithDefaults().MaxJobAge, Logger: h.cfg.Logger.With("tenant", s.tenant.Name),
		Skip: func() bool { return s.plugins.Builtin() == nil },
	}
	return sweeper.Run(ctx)
}
