package main

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/host/devdb/devdbtest"
)

var servedURL = regexp.MustCompile(`url=(http://[^ ]+)`)

// TestServeTakesTokensAndNoDevelopmentUsers: the same project, for real.
func TestServeTakesTokensAndNoDevelopmentUsers(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	weirName, guestName := "weir_"+db.Name, "guest_"+db.Name
	dir := newPluginIn(t, t.TempDir())
	t.Cleanup(func() { weir(t, dir, "db", "uninstall", "--admin-url", db.URL) })
	for _, file := range []string{"schema.sql", "seed.sql"} {
		text, err := readSQL(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		db.Exec(t, text)
	}
	weir(t, dir, "db", "setup", "--admin-url", db.URL, "--weir-role", weirName, "--guest-role", guestName).must(t)
	db.Exec(t, "grant select, insert on all tables in schema public to "+guestName)
	weir(t, dir, "build").must(t)
	write(t, filepath.Join(dir, "key"), strings.Repeat("s", 32))
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n"+patient+
		"[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"localhost:0\"\n"+
		"[database]\nurl = \""+db.As(weirName, "")+"\"\nguest = \""+db.As(guestName, "")+"\"\n"+
		"[auth]\nkeys = [{ issuer = \"me\", audience = \"notes\", hs256_file = \"key\" }]\n")
	weir(t, dir, "check").must(t)

	_, errs, stop := background(t, dir, "serve")
	log := errs.wait(t, "plugin loaded", 1)
	url := servedURL.FindStringSubmatch(log)[1]
	token := strings.TrimSpace(weir(t, dir, "token", "--claim", "sub=ann").must(t))
	rows, _, stopWatch := background(t, dir, "watch", "tasks.list", "list=1", "--token", token, "--url", url)
	rows.wait(t, "open this page", 1)
	weir(t, dir, "call", "tasks.add", "list=1", "title=tea", "--token", token, "--url", url).must(t)
	rows.wait(t, `"tea"`, 1)
	// Development users are none here (CLI6).
	weir(t, dir, "watch", "tasks.list", "list=1", "--as", "ann", "--url", url).fails(t, 1, "unauthenticated")
	if status := ask(t, url+"/v1/q/tasks.list?list=1"); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Errorf("without a token: %d", status)
	}
	stopWatch()
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if log, _ := errs.now(); strings.Contains(log, strings.Repeat("s", 32)) || strings.Contains(log, token) {
		t.Errorf("the log has a secret (CLI4):\n%s", log)
	}
}

func ask(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
