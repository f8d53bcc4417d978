package inspect

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// verdicts keeps what was judged, in memory and in a directory: one file a
// verdict, named by the digest of the statement, with a MAC under a key that lies
// beside them. A file that does not verify is none.
type verdicts struct {
	dir  string // empty: memory only
	most int
	key  []byte

	mu     sync.Mutex // protects the fields below
	memory map[[32]byte]verdict
	files  int
}

// keyName is the file with the key. Verdict files have names of 64 digits.
const keyName = "key"

// openVerdicts opens or makes the directory, to which nobody else may write: who
// can write a verdict there decides what SQL may be run (G8).
func openVerdicts(dir string, most int) (*verdicts, error) {
	v := &verdicts{dir: dir, most: most, memory: map[[32]byte]verdict{}}
	if dir == "" {
		return v, nil
	}
	if err := PrivateDir(dir, "the directory of verdicts"); err != nil {
		return nil, err
	}
	var err error
	if v.key, err = PrivateKey(filepath.Join(dir, keyName)); err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	names, err := v.list()
	v.files = len(names)
	return v, err
}

// get returns a verdict that is known.
func (v *verdicts) get(digest [32]byte) (verdict, bool) {
	v.mu.Lock()
	found, ok := v.memory[digest]
	v.mu.Unlock()
	if ok || v.dir == "" {
		return found, ok
	}
	path := v.path(digest)
	content, err := ReadPrivate(path, maxAnswer)
	if err != nil || len(content) < sha256.Size {
		return verdict{}, false
	}
	mac, body := content[:sha256.Size], content[sha256.Size:]
	if !hmac.Equal(mac, v.mac(digest, body)) {
		return verdict{}, false // asked again, and written anew
	}
	if found, ok = parseVerdict(body); !ok {
		return verdict{}, false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // what is used is kept; if not, it is asked again
	v.remember(digest, found)
	return found, true
}

// put keeps a verdict. Without the directory it is still kept in memory.
func (v *verdicts) put(digest [32]byte, found verdict) error {
	v.remember(digest, found)
	if v.dir == "" {
		return nil
	}
	body := appendVerdict(nil, found)
	path := v.path(digest)
	temp := path + "." + rand.Text()
	if err := os.WriteFile(temp, append(v.mac(digest, body), body...), 0o600); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	v.mu.Lock()
	v.files++
	full := v.files > v.most
	v.mu.Unlock()
	if full {
		return v.trim()
	}
	return nil
}

// remember keeps a verdict in memory. When that is full all go: they are on disk.
func (v *verdicts) remember(digest [32]byte, found verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.memory) >= min(v.most, 1024) {
		clear(v.memory)
	}
	v.memory[digest] = found
}

func (v *verdicts) path(digest [32]byte) string {
	return filepath.Join(v.dir, hex.EncodeToString(digest[:]))
}

func (v *verdicts) mac(digest [32]byte, body []byte) []byte {
	m := hmac.New(sha256.New, v.key)
	m.Write(digest[:])
	m.Write(body)
	return m.Sum(nil)
}

// list returns the names of all files but the key.
func (v *verdicts) list() ([]string, error) {
	entries, err := os.ReadDir(v.dir)
	var names []string
	for _, e := range entries {
		if e.Name() != keyName {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// trim removes the quarter of the files that was not used for longest, and what
// was left half-written.
func (v *verdicts) trim() error {
	names, err := v.list()
	if err != nil {
		return err
	}
	type file struct {
		name string
		used time.Time
	}
	var files []file
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(v.dir, name)); err == nil {
			files = append(files, file{name, info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	remove := max(0, len(files)-v.most*3/4)
	for _, f := range files[:remove] {
		if err := os.Remove(filepath.Join(v.dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	v.mu.Lock()
	v.files = len(files) - remove
	v.mu.Unlock()
	return nil
}
