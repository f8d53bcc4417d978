package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"weir/host"
)

func (m *Main) serveCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "serve [weir.toml]",
		Short: "Serve a project for real: your database, tokens, no development users",
		Long: "Serve what weir.toml says until SIGTERM, which drains. The database is yours: prepare it\n" +
			"once with weir db setup. [dev] is not looked at. A change of weir.toml, or SIGHUP, is\n" +
			"taken while it runs, all or nothing.",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg := configName
			if len(args) > 0 {
				arg = args[0]
			}
			return m.serve(cmd.Context(), arg, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "log as JSON")
	return cmd
}

func (m *Main) serve(ctx context.Context, arg string, asJSON bool) error {
	p, err := m.openProject(arg)
	if err != nil {
		return err
	}
	switch file := p.config; {
	case file.Database.URL.Reveal() == "":
		return usagef("%s has no database.url: serve keeps no database of its own; name yours, then run weir db setup", m.shown(p.file))
	case file.Plugins != "" && file.Database.Guest.Reveal() == "":
		return usagef("%s has no database.guest: name the role of the plugins' SQL, weir db setup makes it", m.shown(p.file))
	}
	var handler slog.Handler = slog.NewTextHandler(m.Stderr, nil)
	if asJSON {
		handler = slog.NewJSONHandler(m.Stderr, nil)
	}
	logger := slog.New(handler)
	h, err := host.New(host.Config{File: p.config, Path: p.file, StateDir: m.stateDir(), Inspect: commandOf(childSQL), Compile: commandOf(childCompile), Traces: m.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), Version: version(), Logger: logger, Event: eventLog(logger)})
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	served, end := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-hangup:
				h.Reread()
			case <-served.Done():
				return
			}
		}
	})
	defer reading.Wait()
	defer end()
	logger.Info("weir serves", "url", h.URL(), "admin", h.AdminURL(), "version", version())
	if err := h.Run(ctx); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// eventLog logs the events that the host does not log itself.
func eventLog(logger *slog.Logger) func(host.Event) {
	return func(e host.Event) {
		switch e.Kind {
		case host.DatabaseUp:
			logger.Info(string(e.Kind))
		case host.PluginFailed:
			logger.Error(string(e.Kind), "plugin", e.Name, "err", e.Err)
		}
	}
}
