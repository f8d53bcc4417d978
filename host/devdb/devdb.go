// Package devdb runs a private PostgreSQL.
package devdb

import (
	"context"
	"errors"
	"log/slog"
)

type Config struct {
	Dir      string
	BinDir   string
	Download bool
	Settings map[string]string
	Logger   *slog.Logger
}

type Cluster struct{}

var errSoon = errors.New("devdb: not built yet")

func Start(ctx context.Context, cfg Config) (*Cluster, error) { return nil, errSoon }
func (c *Cluster) URL(database string) string                 { return "" }
func (c *Cluster) UserURL(user, database string) string       { return "" }
func (c *Cluster) Attached() bool                             { return false }
func (c *Cluster) PID() int                                   { return 0 }
func (c *Cluster) Version() int                               { return 0 }
func (c *Cluster) Run(ctx context.Context) error              { return errSoon }
func (c *Cluster) Restart(ctx context.Context) error          { return errSoon }
func (c *Cluster) Kill() error                                { return errSoon }
func (c *Cluster) Stop(ctx context.Context) error             { return errSoon }
func (c *Cluster) Close() error                               { return errSoon }
