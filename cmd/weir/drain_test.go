package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var adminURL = regexp.MustCompile(`admin=(http://[^ ]+)`)

// doorway makes a project that serves without a database: streams without
// subscriptions need none.
func doorway(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"localhost:0\"\n"+
		"[database]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\nguest = \"postgres://guest@127.0.0.1:1/none\"\n")
	return dir
}

// served waits until a process serves, and returns its addresses.
func served(t *testing.T, errs *screen) (url, admin string) {
	t.Helper()
	log := errs.wait(t, "descriptors=", 1)
	return servedURL.FindStringSubmatch(log)[1], adminURL.FindStringSubmatch(log)[1]
}

// openStream opens a stream as an EventSource does.
func openStream(t *testing.T, client *http.Client, url string) (lines *bufio.Scanner, leave func(), err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	leave = func() { res.Body.Close() }
	t.Cleanup(leave)
	return bufio.NewScanner(res.Body), leave, nil
}

// upTo reads a stream up to the data of one of these events.
func upTo(lines *bufio.Scanner, events ...string) (event, data string) {
	for lines.Scan() {
		for _, e := range events {
			if lines.Text() == "event: "+e && lines.Scan() {
				return e, lines.Text()
			}
		}
	}
	return "", ""
}

// TestTermDrainsAndASecondOneEnds: D4, CLI2. On the binary, by signals.
// Cases: 109.
func TestTermDrainsAndASecondOneEnds(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	start := func(t *testing.T) (url, admin string, streams []*bufio.Scanner, signal func(os.Signal), wait func() int) {
		errs, signal, wait := process(t, doorway(t), "serve")
		url, admin = served(t, errs)
		for range 4 {
			lines, _, err := openStream(t, client, url)
			if err != nil {
				t.Fatal(err)
			}
			if event, _ := upTo(lines, "hello"); event == "" {
				t.Fatal("the stream does not begin")
			}
			streams = append(streams, lines)
		}
		return url, admin, streams, signal, wait
	}
	t.Run("drain", func(t *testing.T) {
		t.Parallel()
		url, admin, streams, signal, wait := start(t)
		signal(syscall.SIGTERM)
		type end struct {
			data string
			last bool
		}
		ends := make(chan end, len(streams))
		for _, lines := range streams {
			go func() {
				_, data := upTo(lines, "close")
				ends <- end{data, !lines.Scan() || lines.Text() == "" && !lines.Scan()}
			}()
		}
		retries := map[string]bool{}
		for i := range streams {
			e := <-ends
			retry := regexp.MustCompile(`"reason":"drain","retry_ms":(\d+)`).FindStringSubmatch(e.data)
			if retry == nil || !e.last {
				t.Fatalf("stream %d ends with %q", i, e.data)
			}
			retries[retry[1]] = true
			if i > 0 {
				continue
			}
			// The first is told, the others are served: balancers have seen it before, and
			// who comes now is told to come back.
			if status, text := fetched(t, client, admin+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "draining") {
				t.Errorf("/readyz while it drains: %d %s", status, text)
			}
			if len(ends) > 1 {
				t.Error("all streams end at once")
			}
			lines, _, err := openStream(t, client, url)
			if err != nil {
				t.Fatal(err)
			}
			if event, data := upTo(lines, "hello", "close"); event != "close" || !strings.Contains(data, "drain") {
				t.Errorf("a new stream is told %s %s", event, data)
			}
		}
		if len(retries) < 3 {
			t.Errorf("4 streams come back at %d moments", len(retries))
		}
		if code := wait(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("end", func(t *testing.T) {
		t.Parallel()
		_, _, streams, signal, wait := start(t)
		signal(syscall.SIGTERM)
		first := make(chan int, len(streams))
		for i, lines := range streams {
			go func() {
				upTo(lines, "close")
				first <- i
			}()
		}
		<-first // it drains; three wait for their turn
		signal(syscall.SIGTERM)
		if code := wait(); code != exitFailed {
			t.Errorf("exit %d", code)
		}
	})
}

func fetched(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestFewDescriptorsAreNoEnd: with 128 descriptors and twice as many clients the
// server tells them to come back, serves its operators, and serves on afterwards.
// Cases: 112.
func TestFewDescriptorsAreNoEnd(t *testing.T) {
	t.Parallel()
	errs, signal, wait := launched(t, doorway(t), exec.Command("sh", "-c", `ulimit -n 128 && exec "$0" serve`, os.Args[0]))
	url, admin := served(t, errs)
	errs.wait(t, "descriptors=128", 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var leave []func()
	told, shed := 0, 0
	for range 40 {
		lines, leaves, err := openStream(t, client, url)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, leaves)
		if event, _ := upTo(lines, "hello"); event == "" {
			t.Fatal("a stream is refused too early")
		}
	}
	// Connections that say nothing take the rest.
	for range 160 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, func() { c.Close() })
		t.Cleanup(func() { c.Close() })
	}
	for range 20 {
		lines, _, err := openStream(t, client, url)
		if err != nil {
			shed++
			continue
		}
		if event, data := upTo(lines, "hello", "close"); event != "close" || !strings.Contains(data, "overload") {
			t.Fatalf("told %s %s", event, data)
		}
		told++
	}
	if told+shed != 20 {
		t.Errorf("%d told, %d shed", told, shed)
	}
	if status, text := fetched(t, client, admin+"/metrics"); status != http.StatusOK || !strings.Contains(text, "weir_serve_descriptors 128") || strings.Contains(text, "weir_serve_shed_total 0") {
		t.Errorf("/metrics: %d", status)
	}
	for _, f := range leave {
		f()
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		lines, leaves, err := openStream(t, client, url)
		if err == nil {
			event, _ := upTo(lines, "hello", "close")
			leaves()
			if event == "hello" {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("it serves nobody any more")
		}
	}
	signal(syscall.SIGTERM)
	if code := wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if log, _ := errs.now(); strings.Contains(log, "BUG") || strings.Contains(log, "panic") {
		t.Errorf("log:\n%s", log)
	}
}
