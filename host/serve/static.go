package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"

	"weir/abi"
)

// web is the operator's directory of static files. os.Root keeps every path, and
// every symbolic link, inside it.
type web struct {
	root *os.Root
}

func openWeb(dir string) (*web, error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("server.web: %w", err)
	}
	return &web{root}, nil
}

func (d *web) close() error {
	if d == nil {
		return nil
	}
	return d.root.Close()
}

// handleStatic serves what no route takes: a static file, or 404.
func (s *Server) handleStatic(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.handleMethod(w, r)
		return
	}
	if s.web == nil || isAPI(r.URL.Path) {
		s.fail(w, r, refusal(abi.UnknownPath))
		return
	}
	f, info, err := s.web.open(r.URL.Path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Debug("static file refused", "request", requestOf(r).id, "err", err)
		}
		s.fail(w, r, refusal(abi.UnknownPath))
		return
	}
	defer f.Close()
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "same-origin")
	http.ServeContent(w, r, info.Name(), info.ModTime(), f)
}

// isAPI keeps misspelt calls from being answered with a page.
func isAPI(p string) bool {
	return p == "/v1" || strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/t/")
}

// open opens a regular file; a directory is its index.html. Names that begin with
// a dot, and names that a client has to escape to say, are not served.
func (d *web) open(urlPath string) (io.ReadSeekCloser, fs.FileInfo, error) {
	if strings.ContainsAny(urlPath, "\\\x00") || urlPath == "" || urlPath[0] != '/' {
		return nil, nil, fs.ErrNotExist
	}
	name := strings.TrimPrefix(path.Clean(urlPath), "/")
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return nil, nil, fs.ErrNotExist
		}
	}
	if name == "" {
		name = "."
	}
	info, err := d.root.Stat(name)
	if err == nil && info.IsDir() {
		name = path.Join(name, "index.html")
		info, err = d.root.Stat(name)
	}
	if err != nil {
		return nil, nil, err
	}
	// A pipe or a device would hold the request for ever.
	if !info.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}
