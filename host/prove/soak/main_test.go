package soak

import (
	"fmt"
	"os"
	"testing"

	"weir/host/devdb/devdbtest"
	"weir/host/inspect"
	"weir/host/wasm"
)

// The test's binary is also the server, and the children that the server starts.
const (
	roleServe   = "soak-serve"
	roleSQL     = "soak-sql"
	roleCompile = "soak-compile"
)

func TestMain(m *testing.M) {
	role, args := "", []string(nil)
	if len(os.Args) > 1 {
		role, args = os.Args[1], os.Args[2:]
	}
	var err error
	switch role {
	case roleServe:
		err = serve(args)
	case roleSQL:
		err = inspect.Serve(os.Stdin, os.Stdout)
	case roleCompile:
		err = wasm.ServeCompile(os.Stdin, os.Stdout, args)
	default:
		devdbtest.Main(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}
