package inspect

import (
	"fmt"
	"os"
	"testing"

	"weir/host/devdb/devdbtest"
)

// childArg makes the test binary the child.
const childArg = "inspect-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	devdbtest.Main(m)
}
