package inspect

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openDir(t *testing.T, dir string, most int) *verdicts {
	t.Helper()
	v, err := openVerdicts(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// I2: a file that is not exactly what was written is no verdict, and is written
// anew.
// Cases: 21.
func TestVerdictThatWasTouchedIsNone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "verdicts")
	digest, other := [32]byte{1}, [32]byte{2}
	refused := verdict{what: "calls pg_sleep()"}
	if err := openDir(t, dir, 10).put(digest, refused); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, hex.EncodeToString(digest[:]))
	good := []byte(file(t, path))
	f := func(name string, content []byte, want bool) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		found, ok := openDir(t, dir, 10).get(digest)
		if ok != want || ok && found != refused {
			t.Errorf("%s: %+v, %v", name, found, ok)
		}
	}
	f("as written", good, true)
	f("empty", nil, false)
	f("cut short", good[:len(good)-1], false)
	f("longer", append(bytes.Clone(good), '!'), false)
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		f("a bit flipped", flipped, false)
	}
	f("allowed instead", append(bytes.Clone(good[:32]), verdictAllowed), false)
	f("unsigned", append(make([]byte, 32), verdictAllowed), false)
	v := openDir(t, dir, 10)
	if err := v.put(other, verdict{allowed: true}); err != nil {
		t.Fatal(err)
	}
	f("that of another statement", []byte(file(t, filepath.Join(dir, hex.EncodeToString(other[:])))), false)
	if err := v.put(digest, refused); err != nil {
		t.Fatal(err)
	}
	f("written anew", []byte(file(t, path)), true)

	// With another key all that was there says nothing.
	for _, key := range []string{"", "short", strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(dir, keyName), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := openDir(t, dir, 10).get(digest); ok {
			t.Errorf("the key %q verifies", key)
		}
	}
}

// What a verdict depends on is in the digest: each difference asks again.
// Cases: 58.
func TestVerdictIsAboutOneStatementOnly(t *testing.T) {
	t.Parallel()
	base := func() Statement {
		return Statement{Tenant: "a", Rules: Rules{Kind: Read, Schema: "s", Functions: []string{"a.b", "c.d"}}, Texts: []string{"select 1", "select 2"}}
	}
	seen := map[[32]byte]string{}
	f := func(name string, change func(*Statement), program byte) {
		t.Helper()
		s := base()
		change(&s)
		digest := s.digest([32]byte{program})
		if before, taken := seen[digest]; taken {
			t.Errorf("%s is the same as %s", name, before)
		}
		seen[digest] = name
	}
	f("as it is", func(*Statement) {}, 0)
	f("another program", func(*Statement) {}, 1)
	f("a mutation", func(s *Statement) { s.Kind = Write }, 0)
	f("another schema", func(s *Statement) { s.Schema = "t" }, 0)
	f("more functions", func(s *Statement) { s.Functions = append(s.Functions, "e.f") }, 0)
	f("fewer functions", func(s *Statement) { s.Functions = s.Functions[:1] }, 0)
	f("one text", func(s *Statement) { s.Texts = []string{"select 1"} }, 0)
	f("texts moved", func(s *Statement) { s.Texts = []string{"select 2", "select 1"} }, 0)
	f("texts joined", func(s *Statement) { s.Texts = []string{"select 1select 2"} }, 0)
	f("another text", func(s *Statement) { s.Texts[1] += " " }, 0)
	a, b := base(), base()
	b.Tenant, b.Functions = "b", []string{"c.d", "a.b"}
	if a.digest([32]byte{}) != b.digest([32]byte{}) {
		t.Error("tenants and the order of functions make a difference")
	}
}

// G8: nobody else may write where verdicts are.
func TestDirectoryOpenToOthersIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "open to other users") {
		t.Errorf("got %v", err)
	}
}

// I5: the oldest go first, and what is used stays.
// Cases: 58.
func TestVerdictsAreBounded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "verdicts")
	v := openDir(t, dir, 40)
	for i := range 41 {
		digest := [32]byte{byte(i)}
		if err := v.put(digest, verdict{allowed: true}); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(v.path(digest), at, at); err != nil && i < 40 {
			t.Fatal(err)
		}
		if i == 39 { // the first is used: it becomes the newest
			clear(v.memory)
			if _, ok := v.get([32]byte{0}); !ok {
				t.Fatal("the first is not there")
			}
		}
	}
	names, err := v.list()
	if err != nil || len(names) > 30 {
		t.Errorf("%d files, %v", len(names), err)
	}
	clear(v.memory)
	for i, want := range map[byte]bool{0: true, 1: false, 5: false, 30: true, 39: true} {
		if _, ok := v.get([32]byte{i}); ok != want {
			t.Errorf("verdict %d is there: %v", i, ok)
		}
	}
	if len(v.memory) > 40 {
		t.Errorf("%d in memory", len(v.memory))
	}
}

// I2: an answer to something else, late or early, is none.
func TestAnswerToAnotherQuestionIsNone(t *testing.T) {
	t.Parallel()
	one := appendQuestion(nil, &Rules{Kind: Read}, "select 1")
	two := appendQuestion(nil, &Rules{Kind: Write}, "select 1")
	answer := appendAnswer(nil, one, verdict{allowed: true})
	if v, ok := parseAnswer(answer, one); !ok || !v.allowed {
		t.Error("the answer does not hold")
	}
	if _, ok := parseAnswer(answer, two); ok {
		t.Error("it answers another question too")
	}
	for n := range answer {
		if v, ok := parseAnswer(answer[:n], one); ok {
			t.Errorf("%d bytes of it say %+v", n, v)
		}
	}
}
