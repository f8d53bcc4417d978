package serve

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"time"
)

// client holds the files of the browser's client.
//
//go:embed client/package.json client/README.md client/weir.js client/weir.d.ts client/react.js client/react.d.ts
var client embed.FS

// clientFile is one answer of the client's paths.
type clientFile struct {
	kind string // its Content-Type
	text []byte
	tag  string
}

// clientFiles are what is served of the client, by path: the module, its types,
// and both as an npm package of this version. Equal versions have equal bytes.
func clientFiles(version string) map[string]clientFile {
	files := map[string]clientFile{
		"/weir.js":   {kind: "text/javascript; charset=utf-8", text: clientText("weir.js")},
		"/weir.d.ts": {kind: "text/plain; charset=utf-8", text: clientText("weir.d.ts")},
		"/weir.tgz":  {kind: "application/gzip", text: clientPackage(version)},
	}
	for name, f := range files {
		sum := sha256.Sum256(f.text)
		f.tag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		files[name] = f
	}
	return files
}

func clientText(name string) []byte {
	text, err := client.ReadFile("client/" + name)
	if err != nil {
		panic("BUG: the binary has no client/" + name + ": " + err.Error())
	}
	return text
}

// semantic is what npm takes for a version.
var semantic = regexp.MustCompile(`^v?((0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?)(\+.*)?$`)

// clientPackage makes the npm package. Its bytes depend on nothing but the files
// and the version: npm keeps their digest in its lockfile.
func clientPackage(version string) []byte {
	names := []string{"package.json", "README.md", "weir.js", "weir.d.ts", "react.js", "react.d.ts"}
	texts := make([][]byte, len(names))
	all := sha256.New()
	for i, name := range names {
		texts[i] = clientText(name)
		all.Write(texts[i])
	}
	number := "0.0.0-x" + hex.EncodeToString(all.Sum(nil)[:5]) // a build without a version
	if m := semantic.FindStringSubmatch(version); m != nil {
		number = m[1]
	}
	texts[0] = bytes.Replace(texts[0], []byte(`"version": "0.0.0"`), []byte(`"version": "`+number+`"`), 1)

	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for i, name := range names {
		h := &tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(texts[i])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		err := archive.WriteHeader(h)
		if err == nil {
			_, err = archive.Write(texts[i])
		}
		if err != nil {
			panic("BUG: the npm package cannot be made: " + err.Error())
		}
	}
	if err := archive.Close(); err != nil {
		panic("BUG: the npm package cannot be made: " + err.Error())
	}
	if err := zip.Close(); err != nil {
		panic("BUG: the npm package cannot be made: " + err.Error())
	}
	return out.Bytes()
}

// handleClient serves one file of the client.
func (s *Server) handleClient(w http.ResponseWriter, r *http.Request) {
	f := s.client[r.URL.Path]
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.text))
}
