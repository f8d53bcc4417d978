package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// golden compares with a file of testdata, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		write(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -run Golden -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s\nwant:\n%s", path, got, want)
	}
}

// TestGoldenHelp shows every command's help as people read it.
func TestGoldenHelp(t *testing.T) {
	t.Parallel()
	var paths [][]string
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		paths = append(paths, path)
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" && !sub.Hidden {
				walk(sub, append(append([]string{}, path...), sub.Name()))
			}
		}
	}
	walk((&Main{Stdout: os.Stdout, Stderr: os.Stderr}).root(), nil)
	var all strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&all, "$ weir %s\n", strings.Join(append(append([]string{}, path...), "--help"), " "))
		all.WriteString(weir(t, t.TempDir(), append(append([]string{}, path...), "--help")...).must(t))
		all.WriteString("\n")
	}
	golden(t, "help.txt", all.String())
}

// TestGoldenErrors shows what people read when a command line is wrong: one
// sentence with the next step, and the exit code (CLI1).
func TestGoldenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bad", "weir.toml"), "plugins = \"plugins\"\n[server]\nlisten = 8090\nhots = [\"a\"]\n")
	write(t, filepath.Join(dir, "bare", "weir.toml"), "plugins = \"plugins\"\n")
	write(t, filepath.Join(dir, "own", "weir.toml"), "plugins = \"plugins\"\n[database]\nurl = \"postgres://weir:hunter2@127.0.0.1:1/app\"\n")
	write(t, filepath.Join(dir, "lost", "weir.toml"), "plugins = \"plugins\"\n[dev]\nschema = \"schema.sql\"\nsources = [\"gone\"]\n")
	write(t, filepath.Join(dir, "not.wasm"), "this is no module")
	write(t, filepath.Join(dir, "short.key"), "too short\n")
	lines := []string{
		"nonsense", "serv", "dev --port 1", "help nonsense", "version now",
		"dev", "dev nowhere", "dev bad", "dev lost", "dev a b",
		"serve", "serve bad", "serve bare", "serve own", "serve --as ann bare", "serve --dev bare",
		"check", "check bad", "check bare", "check lost", "check not.wasm", "check not.wasm --against nowhere.wasm", "check bare --against http://x",
		"check nowhere.wasm --against http://x", "config bad", "plugins x", "plugins --url ftp://x", "plugins --url http://127.0.0.1:1",
		"test", "test bare x", "test lost", "child", "child nonsense",
		"demo", "demo --seconds -1", "demo --dir own", "demo --seconds many",
		"new", "new Big", "new ../up", "new fmt", "new notes --dir bare",
		"build nowhere", "build bare", "build lost",
		"inspect", "inspect nowhere.wasm", "inspect bare", "inspect not.wasm",
		"inspect --conform", "inspect --conform nowhere.wasm", "inspect --conform not.wasm",
		"call", "call f x", "call f =1", "call f a=1 a=2", "call f --args {", "call f --args [1]", "call f a=1 --args {}",
		"call f --url ftp://x", "call f --as ann --token x", "call f --url http://127.0.0.1:1",
		"watch", "watch f -n -1", "watch f --url http://127.0.0.1:1",
		"sql", "sql a b", "sql -", "sql select --dir bare", "sql select --dir own", "sql select --url postgres://u:hunter2@127.0.0.1:1/d",
		"sql select --url nonsense://u:hunter2@h",
		"token", "token --claim sub", "token --key nowhere --claim sub=a", "token --key short.key --claim sub=a",
		"token --key short.key --claim sub=a --claim iss=i --claim aud=a", "token --config bare --claim sub=a", "token --ttl -1s",
		"explain", "explain f --dir nowhere",
		"db nonsense", "db chek", "db setup", "db uninstall", "db setup --admin-url postgres://admin:hunter2@127.0.0.1:1/app",
		"db setup --admin-url x --weir-password-file nowhere", "db check --url postgres://u:hunter2@127.0.0.1:1/d", "db check", "db status --dir bare",
		"db private --dir bare", "db private --dir bare --remove", "db pause --dir bare",
		"tenant nonsense", "tenant init", "tenant init Big", "tenant init acme --function rank", "tenant init acme --read a$do$b",
		"tenant init acme --admin-url postgres://admin:hunter2@127.0.0.1:1/app",
	}
	var all strings.Builder
	for _, line := range lines {
		o := weir(t, dir, strings.Fields(line)...)
		text := strings.ReplaceAll(o.out+o.errors, dir, "DIR")
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s prints a password (CLI4): %s", line, text)
		}
		if o.code != 0 && strings.Count(o.errors, "weir: ") > 1 {
			t.Errorf("%s is told twice: %s", line, o.errors)
		}
		fmt.Fprintf(&all, "$ weir %s\n%s[%d]\n\n", line, text, o.code)
	}
	golden(t, "errors.txt", all.String())
}
