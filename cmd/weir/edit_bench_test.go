package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// builtIn is weir dev's line about a build.
var builtIn = regexp.MustCompile(`built notes\.wasm in (.*)`)

// BenchmarkEdit is the row edit: from the moment in which an editor has written
// plugin/main.go, under `weir dev` as a program, to the result of the new code on a
// stream. Beside it the part of that which is Go's own build; the rest is weir's:
// noticing, compiling the module, preparing its statements, running.
//
//	go test -run '^$' -bench BenchmarkEdit -benchtime 5x ./cmd/weir
func BenchmarkEdit(b *testing.B) {
	p := newStartProject(b, builtWeir(b))
	cmd := exec.Command(p.binary, "dev", "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	address, builds := make(chan string, 1), make(chan time.Duration, 100)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if at := pageURL.FindString(lines.Text()); at != "" {
				select {
				case address <- at: // the page's, which comes first
				default:
				}
			}
			if m := builtIn.FindStringSubmatch(lines.Text()); m != nil {
				if took, err := time.ParseDuration(strings.ReplaceAll(m[1], " ", "")); err == nil {
					builds <- took
				}
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-told
		if err := cmd.Wait(); err != nil {
			b.Errorf("weir dev: %v", err)
		}
	}()

	source := filepath.Join(p.dir, "plugin", "main.go")
	original, err := os.ReadFile(source)
	if err != nil {
		b.Fatal(err)
	}
	c := newClient(<-address, "ann", "")
	defer c.close()
	var total, building time.Duration
	var began time.Time
	edits := 0
	edit := func() error {
		edits++
		began = time.Now()
		return os.WriteFile(source, bytes.Replace(original, []byte("title, author, done from"), fmt.Appendf(nil, "title, author, done, %d as edit from", edits), 1), 0o644)
	}
	stream := &subscription{
		client: c, name: "tasks.list", params: url.Values{"list": {"1"}}, lost: func(error, time.Duration) {},
		event: func(e sseEvent) error {
			if e.name != "" || edits > 0 && !bytes.Contains(e.data, fmt.Appendf(nil, `"edit":%d`, edits)) {
				return nil
			}
			if edits > 0 {
				total += time.Since(began)
				building += <-builds
			}
			if edits == b.N {
				return errEnough
			}
			return edit()
		},
	}
	if err := stream.run(b.Context()); !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(total.Seconds()*1e3/float64(b.N), "edit-ms")
	b.ReportMetric(building.Seconds()*1e3/float64(b.N), "go-build-ms")
	b.ReportMetric((total-building).Seconds()*1e3/float64(b.N), "weir-ms")
}
