package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
	"weir/host/config"
)

func (m *Main) explainCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say what a function reads, what makes its key, and who shares its result",
		Long: "Load the project's plugins against its database and print what the function reads, what\n" +
			"makes its key, who shares one run of it, and which conditions could not be used.",
		Args: oneArg("the name of a function"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.explain(cmd.Context(), dir, args[0])
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's directory")
	return cmd
}

func (m *Main) explain(ctx context.Context, dir, name string) error {
	p, err := m.openProject(dir)
	if err != nil {
		return err
	}
	if !p.private() {
		return m.explainWith(ctx, p.config, name)
	}
	cluster, err := p.startCluster(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	database, _, err := p.ensureDatabase(ctx, cluster)
	if err == nil {
		err = m.explainWith(ctx, onPrivate(p.config, cluster, database), name)
	}
	return errors.Join(err, cluster.Close())
}

// explainTimeout bounds the loading of the plugins.
const explainTimeout = time.Minute

// explainWith runs a host that nobody reaches, until its plugins are loaded.
func (m *Main) explainWith(ctx context.Context, file *config.Config, name string) error {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	var faults faultList
	cfg := host.Config{File: file, StateDir: m.stateDir(), Inspect: inspectChild(), Event: faults.add}
	var err error
	if cfg.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if cfg.Admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	h, err := host.New(cfg)
	if err != nil {
		return err
	}
	hostCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- h.Run(hostCtx) }()
	var text string
	select {
	case <-h.Ready():
		text, err = h.Explain(name)
	case <-ctx.Done():
		err = ctx.Err()
	}
	end()
	err = errors.Join(err, <-done)
	if err != nil {
		return faults.explain(err)
	}
	_, err = fmt.Fprint(m.Stdout, text)
	return err
}

// faultList collects what went wrong while plugins were loaded: it explains why
// a function is not there.
type faultList struct {
	mu   sync.Mutex // protects the field below
	list []string
}

func (l *faultList) add(e host.Event) {
	if e.Err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(e.Name + ": " + oneLine(e.Err.Error()))
	if len(l.list) < 20 && !slices.Contains(l.list, text) {
		l.list = append(l.list, text)
	}
}

func (l *faultList) explain(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(l.list, "; "))
}
