package browsertest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Patience bounds every wait.
const Patience = 2 * time.Minute

// New starts a browser with an empty profile, whose windows Open opens.
func New(t *testing.T) context.Context {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun,
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
	}, flags("disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage")...)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end) // waits until the process is gone
	ctx, closed := chromedp.NewContext(ctx)
	t.Cleanup(closed)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("WEIR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no Chromium. Install it or set WEIR_CHROMIUM. ***\n\n")
	t.Skip("Chromium is not installed")
	return ""
}

func flags(names ...string) []chromedp.ExecAllocatorOption {
	var list []chromedp.ExecAllocatorOption
	for _, name := range names {
		list = append(list, chromedp.Flag(name, true))
	}
	return list
}
