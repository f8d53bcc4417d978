package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStaticFilesStayInTheirDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	web := filepath.Join(dir, "web")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("secret.txt", "secret")
	write("web/index.html", "<h1>home</h1>")
	write("web/app.js", "import 'x'")
	write("web/sub/index.html", "sub")
	write("web/empty/x.txt", "x")
	write("web/.env", "secret")
	write("web/.git/config", "secret")
	for name, target := range map[string]string{"up": "../secret.txt", "abs": "/etc/passwd", "in": "app.js"} {
		if err := os.Symlink(target, filepath.Join(web, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(web, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(c *Config) { c.Web = web })
	ask := func(path string, want int, part string) {
		t.Helper()
		res := f.do(http.MethodGet, path, "")
		if res.status != want || !strings.Contains(res.body, part) || strings.Contains(res.body, "secret") || strings.Contains(res.body, "root:") {
			t.Errorf("%s: %d %q, want %d %q", path, res.status, res.body, want, part)
		}
	}
	ask("/", 200, "<h1>home</h1>")
	ask("/index.html", 200, "home")
	ask("/app.js", 200, "import")
	ask("/in", 200, "import")
	ask("/sub", 200, "sub")
	ask("/sub/", 200, "sub")
	ask("//app.js", 200, "import")
	for _, path := range []string{
		"/up", "/abs", "/pipe", "/.env", "/.git/config", "/empty", "/empty/", "/nothing", "/../secret.txt",
		"/%2e%2e/secret.txt", "/..%2fsecret.txt", "/sub/..%2f..%2fsecret.txt", "/%5c..%5csecret.txt", "/app.js%00",
		"/v1/nothing", "/t/x/app.js", "/sub/%2e%2e/%2e%2e/secret.txt",
	} {
		ask(path, 404, "")
	}
	res := f.do(http.MethodGet, "/app.js", "", "Sec-Fetch-Site: cross-site")
	if res.status != 200 || !strings.HasPrefix(res.header.Get("Content-Type"), "text/javascript") || res.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", res.status, res.header)
	}
	if res := f.do(http.MethodPost, "/app.js", "{}"); res.status != 405 {
		t.Errorf("POST: %d", res.status)
	}
}

func TestMissingWebDirectoryIsToldAtStart(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Backend: &backend{}, Web: filepath.Join(t.TempDir(), "none")})
	if err == nil || !strings.Contains(err.Error(), "server.web") {
		t.Errorf("err = %v", err)
	}
	for _, origin := range []string{"app.example.com", "https://app.example.com/", "*", "null", "ftp://x"} {
		if _, err := New(Config{Backend: &backend{}, Origins: []string{origin}}); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
}
