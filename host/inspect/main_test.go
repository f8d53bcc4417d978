package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"weir/host/devdb/devdbtest"
)

// childArg makes the test binary the child, easyArg one that allows everything and
// has no parser, which takes long to compile.
const childArg, easyArg = "inspect-child", "easy-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == childArg || os.Args[1] == easyArg) {
		do := Serve
		if os.Args[1] == easyArg {
			do = allowAll
		}
		if err := do(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	devdbtest.Main(m)
}

// allowAll answers as a child would.
func allowAll(in io.Reader, out io.Writer) error {
	if err := writeFrame(out, []byte(hello)); err != nil {
		return err
	}
	for {
		question, err := readFrame(in, maxQuestion)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = writeFrame(out, appendAnswer(nil, question, verdict{allowed: true}))
		}
		if err != nil {
			return err
		}
	}
}
