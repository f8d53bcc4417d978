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
	var dir, arguments string
	var users, tokens []string
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say what a function reads, what makes its key, and who shares its result",
		Long: "Load the project's plugins against its database and print what the function reads, what\n" +
			"makes its key, who shares one run of it, and which conditions could not be used.\n" +
			"With two callers (--as ann --as bob, or --token twice) also whether these two share one\n" +
			"result, and what they see or what sets them apart.",
		Args: oneArg("the name of a function"),
		RunE: func(cmd *cobra.Command, args []string) error {
			callers := tokens
			for _, user := range users {
				callers = append(callers, "dev:"+user)
			}
			if len(callers) != 0 && len(callers) != 2 {
				return errors.New("sharing is between two callers: give --as or --token twice")
			}
			return m.explain(cmd.Context(), dir, func(ctx context.Context, h *host.Host) (string, error) {
				text, err := h.Explain(args[0])
				if err != nil || len(callers) == 0 {
					return text, err
				}
				sharing, err := h.ExplainSharing(ctx, args[0], []byte(arguments), [2]string(callers))
				return text + sharing, err
			})
		},
	}
	cmd.Flags().StringVar(&arguments, "args", "{}", "the arguments of both callers, as JSON")
	cmd.Flags().StringArrayVar(&users, "as", nil, "a caller by name, with no claims but sub")
	cmd.Flags().StringArrayVar(&tokens, "token", nil, "a caller by token")
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's directory")
	return cmd
}

// explanation is what is asked of a host whose plugins are loaded.
type explanation func(ctx context.Context, h *host.Host) (string, error)

func (m *Main) explain(ctx context.Context, dir string, ask explanation) error {
	p, err := m.openProject(dir)
	if err != nil {
		return err
	}
	if !p.private() {
		return m.explainWith(ctx, p.config, ask)
	}
	cluster, err := p.startCluster(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	database, _, err := p.ensureDatabase(ctx, cluster)
	if err == nil {
		err = m.explainWith(ctx, onPrivate(p.config, cluster, database), ask)
	}
	return errors.Join(err, cluster.Close())
}

// explainTimeout bounds the loading of the plugins.
const explainTimeout = time.Minute

// explainWith runs a host that nobody reaches, until its plugins are loaded.
func (m *Main) explainWith(ctx context.Context, file *config.Config, ask explanation) error {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	var faults faultList
	cfg := host.Config{File: forDev(file), StateDir: m.stateDir(), Inspect: commandOf(childSQL), Compile: commandOf(childCompile), Event: faults.add}
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
		text, err = ask(ctx, h)
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
	if all := l.all(); all != nil {
		return fmt.Errorf("%w (%w)", err, all)
	}
	return err
}

// all returns what was collected, nil for nothing.
func (l *faultList) all() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return nil
	}
	return errors.New(strings.Join(l.list, "; "))
}
