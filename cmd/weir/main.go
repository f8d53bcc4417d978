package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/abi"
)

// Main is one command line with everything that it may touch of its process, so
// that tests run what the binary runs.
type Main struct {
	// Args are the arguments without the program's name.
	Args []string
	// Stdin, Stdout and Stderr are the streams. All are required.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// Dir is what relative paths are relative to. Empty means the directory of
	// the process.
	Dir string
	// Terminal says that Stdout is one: tables are redrawn in place.
	Terminal bool
}

func main() {
	m := &Main{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Terminal: isTerminal(os.Stdout),
	}
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals // CLI2: whoever asks twice does not want to wait
		os.Exit(exitFailed)
	}()
	code := m.Run(ctx)
	cancel()
	os.Exit(code)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Run runs the command line and returns its exit code. The end of ctx ends it in
// order.
func (m *Main) Run(ctx context.Context) int {
	root := m.root()
	root.SetArgs(m.Args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var quiet *quietError
	if !errors.As(err, &quiet) {
		fmt.Fprintf(m.Stderr, "weir: %s\n", m.sentence(err))
	}
	return exitCode(err)
}

// root makes the tree of commands.
func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Live queries from WebAssembly plugins on PostgreSQL",
		Long: "weir serves live queries from WebAssembly plugins on PostgreSQL.\n\n" +
			"Start with:  weir new notes && cd notes && weir dev",
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"write", "Write plugins:", []*cobra.Command{m.newCommand(), m.devCommand(), m.buildCommand(), m.testCommand(), m.inspectCommand(), m.explainCommand()}},
		{"use", "Use a running weir:", []*cobra.Command{m.watchCommand(), m.whyCommand(), m.callCommand(), m.sqlCommand(), m.typesCommand(), m.tokenCommand()}},
		{"run", "Run it:", []*cobra.Command{m.serveCommand(), m.dbCommand(), m.tenantCommand(), m.checkCommand(), m.pluginsCommand(), m.topCommand(), m.benchCommand(), m.configCommand(), m.demoCommand(), m.versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(m.childCommand())
	root.SetHelpCommandGroupID("run")
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "Say more of a command", Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			return found.Help()
		},
	})
	return root
}

// unknownCommand names the nearest command.
func unknownCommand(parent *cobra.Command, name string) error {
	var names []string
	for _, c := range parent.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	next := parent.CommandPath() + " --help lists the commands"
	if near := abi.Nearest(name, names); near != "" {
		next = fmt.Sprintf("did you mean %q?", parent.CommandPath()+" "+near)
	}
	return usagef("there is no command %q: %s", name, next)
}

// path resolves a path that the user gave.
func (m *Main) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	if m.Dir != "" {
		return filepath.Join(m.Dir, p)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// shown is a path as a person would write it: relative where that is shorter.
func (m *Main) shown(p string) string {
	rel, err := filepath.Rel(m.path("."), p)
	if err != nil || len(rel) >= len(p) {
		return p
	}
	return rel
}
