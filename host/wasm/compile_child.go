package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"weir/host/inspect"
)

// The child is started in the directory that it leaves the native code in. It
// gets one frame, the module, and answers with one: a kind, and a sentence.
const (
	answerDone    = 'd'
	answerRefused = 'r' // the module is not valid
	answerFault   = 'f' // the child, or its disk, is not well

	maxCompileAnswer = 4 << 10
	maxCompileModule = 1 << 30 // the parent has a bound of its own
)

// compileHello is the child's first frame: a child of another wazero is of no
// use.
func compileHello(version string) string { return "weir compile 1 " + version }

// compileFence asks a child to see to it that it reaches no files but those of the
// directory.
const compileFence = "fence"

// compileArgs are the arguments of a child, behind those of Config.Command.
func compileArgs(config *Config, fence bool) []string {
	seconds := int(config.CompileTimeout.Seconds()) + 1
	args := []string{strconv.FormatInt(config.CompileMemory>>20, 10), strconv.Itoa(seconds)}
	if fence {
		args = append(args, compileFence)
	}
	return args
}

// ServeCompile is the compile child: it confines the process, compiles one module
// into the directory that it was started in, and returns. Args are what a Runtime
// added to its Config.Command. After an error the process should end at once.
func ServeCompile(in io.Reader, out io.Writer, args []string) error {
	runtime.LockOSThread() // what is given up is given up by threads
	if n := len(args) - 1; n > 0 && args[n] == compileFence {
		// Its program starts once more, without this argument, which is the last.
		if err := inspect.Fence(os.Args[:len(os.Args)-1]); err != nil {
			return err
		}
		args = args[:n]
	}
	profile, err := compileProfile(args)
	if err != nil {
		return err
	}
	ctx := context.Background()
	e, err := newEngine(ctx, workingDir())
	if err != nil {
		return err
	}
	if err := inspect.Confine(profile); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if err := inspect.WriteFrame(out, []byte(compileHello(e.version()))); err != nil {
		return err
	}
	code, err := inspect.ReadFrame(in, maxCompileModule)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	answer := []byte{answerDone}
	if err := e.compile(ctx, code); err != nil {
		answer[0] = answerRefused
		if isFault(err) {
			answer[0] = answerFault
		}
		answer = append(answer, err.Error()...)
	}
	return inspect.WriteFrame(out, answer[:min(len(answer), maxCompileAnswer)])
}

// workingDir is the directory that the child was started in: on Linux whatever it
// is called by now.
func workingDir() string {
	const self = "/proc/self/cwd"
	if _, err := os.Stat(self); err == nil && runtime.GOOS == "linux" {
		return self
	}
	return "."
}

// compileProfile bounds the child. Its address space is what its runtime reserves,
// and what it may write to.
func compileProfile(args []string) (inspect.Profile, error) {
	if len(args) != 2 {
		return inspect.Profile{}, errors.New("the compile child is for weir: it takes two numbers")
	}
	mebibytes, err := strconv.ParseUint(args[0], 10, 31)
	if err != nil {
		return inspect.Profile{}, err
	}
	seconds, err := strconv.ParseUint(args[1], 10, 31)
	if err != nil {
		return inspect.Profile{}, err
	}
	const reserved = 4 << 30
	memory := mebibytes << 20
	return inspect.Profile{
		Memory: memory, Space: memory + reserved,
		Seconds: seconds * uint64(runtime.GOMAXPROCS(0)), // the parent has a clock
		Files:   true, FileBytes: maxNativeBytes,
	}, nil
}

// isFault reports whether a compilation failed by no fault of the module.
func isFault(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	return errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &call)
}
