package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"weir/host/inspect"
)

// childName and childSQL are the command by which weir runs itself to read SQL.
const childName, childSQL = "child", "sql"

// childCommand is for weir alone: what reads untrusted input runs in a process of
// its own.
func (m *Main) childCommand() *cobra.Command {
	return &cobra.Command{
		Use:       childName + " " + childSQL,
		Short:     "Read SQL for another weir, on the standard streams",
		Hidden:    true,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{childSQL},
		RunE:      func(*cobra.Command, []string) error { return inspect.Serve(m.Stdin, m.Stdout) },
	}
}

// inspectChild is the command line of the child. On Linux it is the program that
// runs, also when another one lies at its path by now.
func inspectChild() []string {
	self := "/proc/self/exe"
	if _, err := os.Stat(self); err != nil || runtime.GOOS != "linux" {
		if self, err = os.Executable(); err != nil {
			return nil // what must be inspected is refused, in a sentence
		}
	}
	return []string{self, childName, childSQL}
}
