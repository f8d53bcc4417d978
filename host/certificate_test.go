package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/host"
	"weir/host/config"
)

// pair writes a certificate for localhost, and its key, in the way of tools: each
// takes the place of the one before.
func pair(t *testing.T, dir, name string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "live.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	put(t, filepath.Join(dir, "live.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// secured runs a host with TLS; it needs no database for its paths that have none.
func secured(t *testing.T, dir string) *host.Host {
	t.Helper()
	text := "plugins = \"plugins\"\n[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate = \"live.pem\"\ntls_key = \"live.key\"\n" +
		"[admin]\nlisten = \"localhost:0\"\n[database]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\nguest = \"postgres://guest@127.0.0.1:1/none\"\n"
	put(t, filepath.Join(dir, "weir.toml"), []byte(text))
	if err := os.MkdirAll(filepath.Join(dir, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := config.Load(filepath.Join(dir, "weir.toml"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Config{File: file, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return h
}

// shaken opens a connection and returns whose certificate it was shown.
func shaken(t *testing.T, url string, versions ...uint16) (name, protocol string, err error) {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}} //nolint:gosec // whose it is, is the question
	if len(versions) > 0 {
		cfg.MinVersion, cfg.MaxVersion = versions[0], versions[0]
	}
	c, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	return state.PeerCertificates[0].Subject.CommonName, state.NegotiatedProtocol, nil
}

func got(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestCertificateFollowsItsFiles: a new one is shown from the next connection on;
// a wrong one is told in /readyz, and the one before stays; streams go on.
// Cases: 116.
func TestCertificateFollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair(t, dir, "first", time.Now().Add(time.Hour))
	h := secured(t, dir)
	if !strings.HasPrefix(h.URL(), "https://") {
		t.Errorf("URL %s", h.URL())
	}
	name, protocol, err := shaken(t, h.URL())
	if err != nil || name != "first" || protocol != "h2" {
		t.Fatalf("shown %q over %q: %v", name, protocol, err)
	}
	for _, old := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, _, err := shaken(t, h.URL(), old); err == nil {
			t.Errorf("TLS version %x is spoken", old)
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // a test's own
	t.Cleanup(tr.CloseIdleConnections)
	client := &http.Client{Transport: tr}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
		t.Errorf("a stream: %d over %s", res.StatusCode, res.Proto)
	}
	shows := func(want string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			name, _, err := shaken(t, h.URL())
			if err == nil && name == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("shown %q, %v, want %q", name, err, want)
			}
		}
	}
	says := func(ok bool, part string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			_, text := got(t, http.DefaultClient, h.AdminURL()+"/readyz")
			if _, said, _ := strings.Cut(text, `"name":"certificate",`); strings.HasPrefix(said, `"ok":true`) == ok && strings.Contains(said, part) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("/readyz says %s", text)
			}
		}
	}
	says(true, "")
	pair(t, dir, "second", time.Now().Add(time.Hour))
	shows("second")

	good, err := os.ReadFile(filepath.Join(dir, "live.pem"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "live.pem"), []byte("-----BEGIN CERTIFICATE-----\nnone\n"))
	says(false, "are not a certificate and its key")
	shows("second")
	put(t, filepath.Join(dir, "live.pem"), good)
	says(true, "")
	pair(t, dir, "late", time.Now().Add(-time.Hour))
	says(false, "renew it; the one before serves until")
	shows("second")
	if err := os.Remove(filepath.Join(dir, "live.key")); err != nil {
		t.Fatal(err)
	}
	says(false, "no such file")
	shows("second")
	pair(t, dir, "third", time.Now().Add(time.Hour))
	shows("third")
	says(true, "")

	// The stream of the first certificate is still there.
	first := make([]byte, 64)
	if n, err := res.Body.Read(first); err != nil || !strings.HasPrefix(string(first[:n]), "retry: ") {
		t.Errorf("the stream: %q, %v", first[:n], err)
	}
}

// TestWrongCertificateIsToldAtStart: a server that was to speak TLS does not start
// without.
// Cases: 116.
func TestWrongCertificateIsToldAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair(t, dir, "first", time.Now().Add(time.Hour))
	put(t, filepath.Join(dir, "live.key"), []byte("none"))
	text := "plugins = \"plugins\"\n[server]\ntls_certificate = \"live.pem\"\ntls_key = \"live.key\"\n[database]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\nguest = \"postgres://guest@127.0.0.1:1/none\"\n"
	put(t, filepath.Join(dir, "weir.toml"), []byte(text))
	file, err := config.Load(filepath.Join(dir, "weir.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.New(host.Config{File: file, StateDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "server.tls_certificate: live.pem and live.key are not a certificate and its key") || strings.Contains(err.Error(), "\n") {
		t.Errorf("started: %v", err)
	}
}
