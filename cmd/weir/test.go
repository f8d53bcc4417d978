package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (m *Main) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [dir] [-- go test's flags]",
		Short: "Build the plugins and run the project's tests, with a database for those that want one",
		Long: "Build the project's plugins and run go test ./... in it. Tests that call weirtest.Start\n" +
			"get this weir with a database of their own on the private server, or on the one that\n" +
			"$WEIR_TEST_URL names as a role that may make databases and roles.",
		Example: "  weir test\n  weir test -- -run Live -v",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, flags := ".", []string(nil)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				args, flags = args[:at], args[at:]
			}
			if err := atMostOne(cmd, args); err != nil {
				return err
			}
			if len(args) > 0 {
				dir = args[0]
			}
			return m.test(cmd.Context(), dir, flags)
		},
	}
}

// envBin names the program for package weirtest, envBuilt says that the plugins
// are up to date, and envTestURL where test databases are made.
const envBin, envBuilt, envTestURL = "WEIR_BIN", "WEIR_TEST_BUILT", "WEIR_TEST_URL"

func (m *Main) test(ctx context.Context, dir string, flags []string) (err error) {
	p, err := m.openProject(dir)
	if err != nil {
		return err
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return errNoGo
	}
	if _, err := p.builds(); err != nil {
		return err
	}
	if !inGoModule(p.dir) {
		return usagef("weir test runs go test, but there is no go.mod in %s or above: tests in Go are for plugins in Go", p.shown)
	}
	if err := m.buildAll(ctx, p); err != nil {
		return err
	}
	if m.Getenv(envTestURL) == "" {
		// It stays up for all packages, which else would start and stop it one
		// after another.
		server, err := p.openTestServer(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.close()) }()
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	args := append([]string{"test"}, flags...)
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, ".") }) {
		args = append(args, "./...")
	}
	cmd := exec.CommandContext(ctx, goTool, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, m.Stdout, m.Stderr
	cmd.Env = append(os.Environ(), envBin+"="+program, envBuilt+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return &quietError{} // go test has told
	} else if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	return nil
}

// inGoModule reports whether the go tool finds a module for a directory.
func inGoModule(dir string) bool {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

// buildAll builds the plugins of [dev] sources and compiles them, so that servers
// find them compiled.
func (m *Main) buildAll(ctx context.Context, p *project) error {
	builds, err := p.builds()
	if err != nil {
		return err
	}
	for _, b := range builds {
		if err := b.run(ctx); err != nil {
			return err
		}
		code, err := os.ReadFile(b.output)
		if err != nil {
			return err
		}
		if _, err := m.describe(ctx, code); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(b.output), err)
		}
	}
	return nil
}
