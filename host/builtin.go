package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"weir/host/calls"
	"weir/host/db"
	"weir/host/jobs"
	"weir/reactor/changelog"
)

// Parts are what weir keeps in its schema beside the change log, for
// changelog.SetupConfig.
func Parts() []changelog.Part {
	return []changelog.Part{
		{Name: "idempotency keys", Version: calls.Version, SQL: calls.SchemaSQL()}, // before the grants of jobs
		{Name: "jobs and workflows", Version: jobs.Version, SQL: jobs.SchemaSQL()},
	}
}

// builtin loads the functions that weir brings itself. A database that was set
// up by an older weir lacks what they read: then they are not there, which is
// told once, and plugins are served all the same.
func (l *loader) builtin(ctx context.Context, s *space) (settled bool) {
	f := s.look.unbuilt
	if s.plugins.Builtin() != nil || time.Now().Before(f.next) {
		return true
	}
	err := l.host.build(ctx, s)
	switch {
	case err == nil || ctx.Err() != nil:
		s.look.unbuilt = failure{}
		return true
	case transient(err):
		l.host.cfg.Logger.Debug("built-in functions wait for the database", "err", err)
		return false
	case f.next.IsZero():
		l.host.cfg.Logger.Warn("weir.job and weir.workflow are not there: run weir db setup", "tenant", s.tenant.Name, "err", err)
	}
	f.wait = min(max(2*f.wait, 5*time.Second), 5*time.Minute)
	f.next = time.Now().Add(f.wait)
	s.look.unbuilt = f
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

// tidyEvery is how often the tables of jobs and of idempotency keys are looked
// after, give or take half.
const tidyEvery = 30 * time.Second

// tidy looks after what the tenants of now keep in the schema weir, until ctx ends:
// jobs whose worker was lost, and all that is over for long.
func (h *Host) tidy(ctx context.Context) error {
	failing := map[string]bool{}
	timer := time.NewTimer(tidyEvery/2 + rand.N(tidyEvery))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for name, s := range h.spaces() {
			if s.plugins.Builtin() == nil {
				continue
			}
			err := h.tidySpace(ctx, s)
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, db.ErrConflict):
				continue // a worker was quicker; the next look finds what is left
			case err != nil && !failing[name]:
				h.cfg.Logger.Warn("jobs and idempotency keys are not looked after", "tenant", name, "err", err)
			case err == nil && failing[name]:
				h.cfg.Logger.Info("jobs and idempotency keys are looked after again", "tenant", name)
			}
			failing[name] = err != nil
		}
		timer.Reset(tidyEvery/2 + rand.N(tidyEvery))
	}
}

func (h *Host) tidySpace(ctx context.Context, s *space) error {
	sweeper := jobs.Sweeper{DB: s.database, Keep: s.tenant.Limits.WithDefaults().MaxJobAge}
	if _, err := sweeper.Sweep(ctx); err != nil {
		return err
	}
	_, err := s.calls.Sweep(ctx)
	return err
}
