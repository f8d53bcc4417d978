package host

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"weir/host/serve"
)

// certificate is that of the clients' listener. It follows its files: a new one is
// used from the next connection on, one that is wrong is told and the one before
// stays.
type certificate struct {
	cert, key string // files
	logger    *slog.Logger
	now       atomic.Pointer[tls.Certificate]
	again     chan struct{} // somebody asks to read the files

	mu    sync.Mutex        // protects the fields below
	used  [sha256.Size]byte // of the content of the files that now is from
	fault error             // why what is in the files is not used
}

// lookAgain is how often the files are compared although nothing was told of them:
// not every file system tells.
const lookAgain = time.Minute

// newCertificate reads the files. What is wrong with them keeps the host from
// starting, but for a certificate whose time is over: it is told.
func newCertificate(cert, key string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, logger: logger, again: make(chan struct{}, 1)}
	pair, digest, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("server.tls_certificate: %w", sentence(err))
	}
	c.used = digest
	c.now.Store(pair)
	return c, nil
}

// get implements serve.Config.Certificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }

// read makes a certificate of the files.
func (c *certificate) read() (*tls.Certificate, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	cert, err := os.ReadFile(c.cert)
	if err != nil {
		return nil, none, err
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		return nil, none, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, none, fmt.Errorf("%s and %s are not a certificate and its key: %w", filepath.Base(c.cert), filepath.Base(c.key), err)
	}
	return &pair, sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(cert), cert, key)), nil
}

// reload takes what is in the files, if it is good.
func (c *certificate) reload() {
	pair, digest, err := c.read()
	if err == nil && over(pair.Leaf) && !over(c.now.Load().Leaf) {
		err = fmt.Errorf("the one in %s ended on %s: renew it", filepath.Base(c.cert), pair.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	if err != nil {
		err = sentence(err)
	}
	c.mu.Lock()
	told := c.fault != nil && err != nil && c.fault.Error() == err.Error()
	fresh := err == nil && digest != c.used
	if c.fault = err; fresh {
		c.used = digest
	}
	c.mu.Unlock()
	switch {
	case fresh:
		c.now.Store(pair)
		c.logger.Info("certificate loaded", "until", pair.Leaf.NotAfter)
	case err != nil && !told:
		c.logger.Error("certificate refused", "err", err)
	}
}

func over(leaf *x509.Certificate) bool { return time.Now().After(leaf.NotAfter) }

// condition is that of /readyz. The server serves as it did, so that it is mild.
func (c *certificate) condition() serve.Condition {
	said := serve.Condition{Name: "certificate", OK: true, Mild: true}
	c.mu.Lock()
	fault := c.fault
	c.mu.Unlock()
	leaf := c.now.Load().Leaf
	until := leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case fault != nil:
		said.OK, said.Message = false, fmt.Sprintf("the new certificate is not used: %v; the one before serves until %s", fault, until)
	case over(leaf):
		said.OK, said.Message = false, fmt.Sprintf("the certificate ended on %s: renew it", until)
	}
	return said
}

// follow reads the files when they change, until ctx ends. Their directories are
// watched: tools put new files, or new links, in the place of the old ones.
func (c *certificate) follow(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := errors.Join(watcher.Add(filepath.Dir(c.cert)), watcher.Add(filepath.Dir(c.key))); err != nil {
		c.logger.Warn("the certificate cannot be followed closely", "err", err)
	}
	settled := time.NewTimer(lookAgain)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			settled.Reset(settle)
			continue
		case err := <-watcher.Errors:
			c.logger.Warn("the certificate cannot be followed closely", "err", err)
			settled.Reset(settle)
			continue
		case <-c.again:
		case <-settled.C:
		}
		c.reload()
		settled.Reset(lookAgain)
	}
}

// reread asks for the files to be read. It does not wait.
func (c *certificate) reread() {
	if c == nil {
		return
	}
	select {
	case c.again <- struct{}{}:
	default: // one that has not begun is enough
	}
}
