package wasm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"weir/host/inspect"
)

// store keeps native code between starts: one file a module, with a MAC under a
// key that only this user can read. Native code is trusted code (G8), and wazero's
// own files have a checksum that anybody can make. A file that does not verify is
// removed, and wazero never sees it.
type store struct {
	dir      string
	key      []byte
	identity [32]byte // of everything beside the module that the code depends on
	maxBytes int64
	logger   *slog.Logger

	mu   sync.Mutex // protects the fields below
	told bool       // that something was removed
}

const (
	// maxStored bounds the modules kept; maxBytes bounds their bytes.
	maxStored = 1024
	// storeVersion is in every MAC and name: what another layout wrote is never
	// looked at.
	storeVersion = "weir native 1"
	// storeHead is what precedes the code in a file: the MAC and wazero's name.
	storeHead = 2 * sha256.Size
)

// openStore opens or makes a directory, to which nobody else may write.
func openStore(dir string, key []byte, identity [32]byte, config Config) (*store, error) {
	if err := inspect.PrivateDir(dir, "compile cache"); err != nil {
		return nil, err
	}
	return &store{dir: dir, key: key, identity: identity, maxBytes: config.MaxCacheBytes, logger: config.Logger}, nil
}

// get returns the native code of a module, by the digest of what was compiled.
// Every byte of it was checked.
func (s *store) get(module [32]byte) (*native, bool) {
	if s == nil {
		return nil, false
	}
	content, ok := s.read(module, sha256.Size)
	if !ok {
		return nil, false
	}
	return &native{name: hex.EncodeToString(content[:sha256.Size]), code: content[sha256.Size:]}, true
}

// read returns what was kept under a digest, at least so many bytes, all of them
// checked.
func (s *store) read(digest [32]byte, least int) ([]byte, bool) {
	path := s.path(digest)
	content, err := inspect.ReadPrivate(path, maxNativeBytes+storeHead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil || len(content) < sha256.Size+least || !hmac.Equal(content[:sha256.Size], s.mac(digest, content[sha256.Size:])) {
		s.remove(path, err)
		return nil, false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // what is used is kept; if not, it is compiled again
	return content[sha256.Size:], true
}

// put keeps native code. Who cannot keep it compiles again.
func (s *store) put(module [32]byte, n *native) {
	if s == nil {
		return
	}
	if err := s.write(module, n); err != nil {
		s.logger.Warn("compiled code is not kept", "err", err)
	}
}

func (s *store) write(module [32]byte, n *native) error {
	name, err := hex.DecodeString(n.name)
	if err != nil {
		return err
	}
	return s.keep(module, slices.Concat(make([]byte, sha256.Size), name, n.code))
}

// keep writes content, which has room for the MAC in front, under a digest.
func (s *store) keep(digest [32]byte, content []byte) error {
	copy(content, s.mac(digest, content[sha256.Size:]))
	path := s.path(digest)
	temp := path + "." + rand.Text()
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return s.trim()
}

// drop forgets the native code of a module: it verified, and is of no use.
func (s *store) drop(module [32]byte) {
	if s != nil {
		s.remove(s.path(module), nil)
	}
}

// remove removes what is not ours, and says so once.
func (s *store) remove(path string, err error) {
	_ = os.RemoveAll(path) // a directory, too
	s.mu.Lock()
	told := s.told
	s.told = true
	s.mu.Unlock()
	if !told {
		s.logger.Warn("compiled code was changed or cut short on disk, is removed and compiled again", "file", path, "err", err)
	}
}

// path names a module's file by all that its code depends on, so that what another
// weir compiled is left alone, and goes when it was not used for long.
func (s *store) path(module [32]byte) string {
	sum := sha256.New()
	sum.Write([]byte(storeVersion))
	sum.Write(s.identity[:])
	sum.Write(module[:])
	return filepath.Join(s.dir, hex.EncodeToString(sum.Sum(nil)))
}

// mac is of the module, the identity, the length, wazero's name and the code.
func (s *store) mac(module [32]byte, content []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(storeVersion))
	m.Write(s.identity[:])
	m.Write(module[:])
	m.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(content))))
	m.Write(content)
	return m.Sum(nil)
}

// trim removes what was not used for longest, until the rest is within its bounds.
func (s *store) trim() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	bytes := int64(0)
	for i, f := range files {
		if bytes += f.Size(); i < maxStored && bytes <= s.maxBytes {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// identityOf is a digest of parts that cannot run into each other.
func identityOf(parts ...string) [32]byte {
	sum := sha256.New()
	for _, part := range parts {
		sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		sum.Write([]byte(part))
	}
	return [32]byte(sum.Sum(nil))
}
