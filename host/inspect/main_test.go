package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"weir/host/devdb/devdbtest"
)

// childArg makes the test binary the child, easyArg one that allows everything and
// has no parser, which takes long to compile.
const childArg, easyArg = "inspect-child", "easy-child"

// crashArg makes it one that ends at every text.
const crashArg = "crash-child"

// fencedArg makes it one that is fenced in, and tries what it was asked to.
const fencedArg = "fenced-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{childArg, easyArg, crashArg, fencedArg}, os.Args[1]) {
		do := Serve
		switch os.Args[1] {
		case easyArg:
			do = allowAll
		case crashArg:
			do = crash
		case fencedArg:
			do = tries
		}
		if err := do(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	devdbtest.Main(m)
}

// crash greets and ends at the first question.
func crash(in io.Reader, out io.Writer) error {
	err := WriteFrame(out, []byte(hello))
	if err == nil {
		_, err = ReadFrame(in, maxQuestion)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return errors.Join(err, errors.New("crash"))
}

// allowAll answers as a child would.
func allowAll(in io.Reader, out io.Writer) error {
	if err := WriteFrame(out, []byte(hello)); err != nil {
		return err
	}
	for {
		question, err := ReadFrame(in, maxQuestion)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = WriteFrame(out, appendAnswer(nil, question, verdict{allowed: true}))
		}
		if err != nil {
			return err
		}
	}
}
