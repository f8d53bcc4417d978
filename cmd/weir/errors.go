package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
)

// Exit codes (CLI1).
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError says that the command line was not understood.
type usageError struct{ text string }

// Error returns the sentence.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// quietError is a failure that was told already.
type quietError struct{}

// Error returns a text that is never printed.
func (*quietError) Error() string { return "told already" }

func exitCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// flagError adds the next step to what the flag parser says.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	for _, dev := range []string{"--as", "--dev"} {
		if cmd.Name() == "serve" && strings.HasPrefix(text, "unknown flag: "+dev) {
			return usagef("%s exists only under weir dev: give clients tokens, for a try with weir token", dev)
		}
	}
	text, _, _ = strings.Cut(text, ": strconv.") // the parser's own words
	return usagef("%s: %s --help lists the flags", text, cmd.CommandPath())
}

// sentence adds the next step to errors that come from below and have none.
func (m *Main) sentence(err error) string {
	text := strings.TrimRight(err.Error(), "\n")
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect):
		// The text of pgx lists every address it tried and repeats the user's
		// name; the cause and the place are enough.
		return fmt.Sprintf("cannot connect to the database %q at %s: %s: check that it runs and that the URL is right",
			connect.Config.Database, place(connect.Config), cause(err))
	case errors.Is(err, syscall.EADDRINUSE):
		return text + ": stop what listens there, or choose another address with --listen or in weir.toml"
	case errors.Is(err, context.DeadlineExceeded):
		return text + ": try again, or look at the server"
	}
	return text
}

func place(c *pgconn.Config) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

// cause is the innermost error that says something.
func cause(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	for _, known := range []struct {
		err  error
		text string
	}{
		{syscall.ECONNREFUSED, "connection refused"},
		{fs.ErrNotExist, "no such socket"},
		{context.DeadlineExceeded, "no answer in time"},
		{context.Canceled, "interrupted"},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "there is no host " + dns.Name
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// noArgs, oneArg and atMostOne check the number of arguments in our words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, found %q: %[1]s --help says more", cmd.CommandPath(), args[0])
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return usagef("%s needs %s: %s", cmd.CommandPath(), what, cmd.UseLine())
		}
		return usagef("%s takes one argument, found %q too: put quotes around what belongs together", cmd.CommandPath(), args[1])
	}
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes at most one argument, found %q too: %[1]s --help says more", cmd.CommandPath(), args[1])
	}
	return nil
}
