package serve

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClientIsServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Origins = []string{"https://app.example.com"} })
	for path, kind := range map[string]string{"/weir.js": "text/javascript; charset=utf-8", "/weir.d.ts": "text/plain; charset=utf-8", "/weir.tgz": "application/gzip"} {
		res := f.do(http.MethodGet, path, "")
		if res.status != 200 || res.header.Get("Content-Type") != kind || len(res.body) < 1000 {
			t.Errorf("%s: %d %v", path, res.status, res.header)
		}
		if head := f.do(http.MethodHead, path, ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD %s: %d", path, head.status)
		}
		if again := f.do(http.MethodGet, path, "", "If-None-Match: "+res.header.Get("ETag")); again.status != 304 {
			t.Errorf("%s again: %d", path, again.status)
		}
	}
	// A module script of another site needs leave to be read.
	if res := f.do(http.MethodGet, "/weir.js", "", "Origin: https://app.example.com"); res.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("allowed origin: %d %v", res.status, res.header)
	}
}

// The lockfile of a project has the package's digest: one server's restart, or
// another server of the same version, must not change a byte.
func TestPackageIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	one := clientPackage("1.2.3")
	if !bytes.Equal(one, clientPackage("v1.2.3+build.7")) {
		t.Error("equal versions have other bytes")
	}
	for version, want := range map[string]string{"v1.2.3": "1.2.3", "1.2.3-rc.1": "1.2.3-rc.1", "devel": "0.0.0-x", "devel-01ab": "0.0.0-x", "v0.0.0-20260101-abc+dirty": "0.0.0-20260101-abc"} {
		files := unpack(t, clientPackage(version))
		var about struct{ Name, Version string }
		if err := json.Unmarshal([]byte(files["package.json"]), &about); err != nil || about.Name != "weir" || !strings.HasPrefix(about.Version, want) {
			t.Errorf("version %q is %q for npm, want %q (%v)", version, about.Version, want, err)
		}
	}
	files := unpack(t, one)
	for name, text := range files {
		if strings.HasPrefix(name, "_") || text == "" {
			t.Errorf("%s is in the package", name)
		}
	}
	if files["weir.js"] != string(clientText("weir.js")) || len(files) != 6 {
		t.Errorf("the package has %d files", len(files))
	}
}

func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(h.Name, "package/")
		if !ok {
			t.Errorf("npm wants %s below package/", h.Name)
		}
		files[name] = string(text)
	}
}

// npm installs the package from a running server, and Node finds both of its
// modules.
func TestPackageIsInstalledByNPM(t *testing.T) {
	t.Parallel()
	path := node(t)
	npm, err := exec.LookPath("npm")
	if err != nil {
		_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no npm. ***\n\n")
		t.Skip("npm is not installed")
	}
	f := newFixture(t, nil)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", `{"private":true,"type":"module"}`)
	write("page.mjs", `import { createClient } from "weir"
		const weir = createClient({ url: process.argv[2] })
		console.log(JSON.stringify(await weir.get("messages.list", { room: 7 })), import.meta.resolve("weir/react").slice(-14))
		weir.close()`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "npm_config_cache="+filepath.Join(dir, "cache"), "npm_config_update_notifier=false")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", filepath.Base(program), args, err, out)
		}
		return string(out)
	}
	run(npm, "install", "--no-audit", "--no-fund", f.url+"/weir.tgz")
	run(npm, "ci", "--no-audit", "--no-fund") // by the lockfile's digest
	if got := strings.TrimSpace(run(path, "page.mjs", f.url)); got != `[{"id":0}] /weir/react.js` {
		t.Errorf("the page says %s", got)
	}
}
