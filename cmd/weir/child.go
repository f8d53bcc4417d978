package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"weir/host/inspect"
	"weir/host/wasm"
)

// childName is the command by which programs run weir: itself with childSQL, to
// read SQL, and with childCompile, to compile a module, and tests with childTest,
// to have a server of their own,
// and childBench for weir bench (bench_server.go).
const childName, childSQL, childCompile, childTest = "child", "sql", "compile", "test"

// childCommand is for programs alone, on the standard streams. What reads
// untrusted input runs in a process of its own.
func (m *Main) childCommand() *cobra.Command {
	return &cobra.Command{
		Use:    childName + " " + childSQL + "|" + childCompile + "|" + childTest + "|" + childBench,
		Short:  "Work for another program, on the standard streams",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && args[0] == childSQL:
				return inspect.Serve(m.Stdin, m.Stdout)
			case len(args) > 0 && args[0] == childCompile:
				return wasm.ServeCompile(m.Stdin, m.Stdout, args[1:])
			case len(args) > 1 && args[0] == childTest:
				return m.serveTest(cmd.Context(), args[1], args[2:])
			case len(args) == 3 && args[0] == childBench:
				return m.serveBench(cmd.Context(), args[1], args[2])
			}
			return usagef("weir child is for programs: weir --help lists the commands")
		},
	}
}

// childProgram is the weir of children; empty means the one that runs. Tests name
// another: they run with the race detector, under which modules compile for minutes.
var childProgram string

// commandOf is the command line of a child. On Linux it is the program that runs,
// also when another one lies at its path by now.
func commandOf(child string) []string {
	if childProgram != "" {
		return []string{childProgram, childName, child}
	}
	self := "/proc/self/exe"
	if _, err := os.Stat(self); err != nil || runtime.GOOS != "linux" {
		if self, err = os.Executable(); err != nil {
			return nil // what must be inspected is refused, in a sentence; modules are compiled here
		}
	}
	return []string{self, childName, child}
}
