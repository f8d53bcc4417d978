package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A trap is an entry of .ci/traps.txt: what breaks such a server without a word,
// and the rule.
type trap struct {
	number, wrong, rule string
	reason              string // why no test cites it; "" if one must
}

// A chapter is one letter of the traps.
type chapter struct {
	title string
	traps []trap
}

// citations are the tests that cite each number, by package, in order.
type citations map[string]map[string][]string

// trapNumber is how a comment cites. Numbers of other lists have other letters.
var trapNumber = regexp.MustCompile(`\b[CRFGD][0-9]{1,2}\b`)

// TestGoldenTraps: each trap has a test that cites its number, or a reason why
// not, and docs/traps.md says which, and by which seeded bugs they were seen to
// fail.
func TestGoldenTraps(t *testing.T) {
	t.Parallel()
	chapters := readTraps(t, filepath.Join("..", "..", ".ci", "traps.txt"))
	cited := cite(t)
	known := map[string]bool{}
	for _, c := range chapters {
		for _, trap := range c.traps {
			known[trap.number] = true
			tests := len(cited[trap.number])
			switch {
			case tests == 0 && trap.reason == "":
				t.Errorf("no test cites %s (%s) Write one, or a line \"- why not\" under it in .ci/traps.txt", trap.number, trap.wrong)
			case tests > 0 && trap.reason != "":
				t.Errorf("%s is cited, and .ci/traps.txt says why it is not", trap.number)
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(cited)) {
		if !known[number] {
			t.Errorf("%v cite %s, which .ci/traps.txt does not have", cited[number], number)
		}
	}
	golden(t, filepath.Join("..", "..", "..", "docs", "traps.md"), trapTable(chapters, cited, breakers(t)))
}

// Only comments of a test cite, and those in
// it; a function beside it does not, and a benchmark fails at nothing.
func TestTrapsAreCitedByTheCommentsOfTests(t *testing.T) {
	t.Parallel()
	cited := citations{}
	citeTests(t, cited, "p/x_test.go", []byte(`package p

// C1 is a rule, and this is a helper.
func help() {}

// C2, R3: a test.
func TestOne(t *testing.T) {
	help() // F4
	_ = "G5"
}

// D6: measures only.
func BenchmarkOne(b *testing.B) {}
`))
	citeScript(cited, "p", "path", []byte("# F7: a script\nrun F8\n----\nF9\n"))
	if got, want := fmt.Sprint(cited), "map[C2:map[p:[TestOne]] F4:map[p:[TestOne]] F7:map[p:[TestScripts/path]] R3:map[p:[TestOne]]]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func readTraps(t *testing.T, file string) (chapters []chapter) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		title, isTitle := strings.CutPrefix(line, "## ")
		reason, isReason := strings.CutPrefix(line, "- ")
		switch {
		case isTitle:
			chapters = append(chapters, chapter{title: title})
		case line == "" || strings.HasPrefix(line, "#"):
		case len(chapters) == 0:
			t.Fatalf("%s: %q stands before the first chapter", file, line)
		default:
			c := &chapters[len(chapters)-1]
			if isReason {
				c.traps[len(c.traps)-1].reason = reason
				continue
			}
			number, rest, _ := strings.Cut(line, " ")
			wrong, rule, found := strings.Cut(rest, " | ")
			if !found || trapNumber.FindString(number) != number {
				t.Fatalf("%s: %q is not: a number, what goes wrong | the rule", file, line)
			}
			c.traps = append(c.traps, trap{number: number, wrong: strings.TrimSpace(wrong), rule: rule})
		}
	}
	return chapters
}

// cite reads what all tests and scripts of the tree cite.
func cite(t *testing.T) citations {
	t.Helper()
	cited := citations{}
	goFiles(t, func(file string, text []byte) {
		if strings.HasSuffix(file, "_test.go") {
			citeTests(t, cited, file, text)
		}
	})
	scripts, err := filepath.Glob(filepath.Join("..", "..", "reactor", "testdata", "script", "*"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range scripts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		citeScript(cited, "reactor", filepath.Base(file), text)
	}
	return cited
}

func citeTests(t *testing.T, cited citations, file string, text []byte) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		begin := fn.Pos()
		if fn.Doc != nil {
			begin = fn.Doc.Pos()
		}
		for _, group := range parsed.Comments {
			if begin <= group.Pos() && group.End() <= fn.End() {
				cited.add(group.Text(), path.Dir(file), fn.Name.Name)
			}
		}
	}
}

// citeScript reads the comments of a script, which is a test by its file's name.
func citeScript(cited citations, dir, name string, text []byte) {
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			cited.add(line, dir, "TestScripts/"+name)
		}
	}
}

func (c citations) add(comment, dir, test string) {
	for _, number := range trapNumber.FindAllString(comment, -1) {
		if c[number] == nil {
			c[number] = map[string][]string{}
		}
		if !slices.Contains(c[number][dir], test) {
			c[number][dir] = append(c[number][dir], test)
			slices.Sort(c[number][dir])
		}
	}
}

// breakers are the mutants of .ci/mutants.d by the numbers that their first lines
// cite, in order.
func breakers(t *testing.T) map[string][]string {
	t.Helper()
	patches, err := filepath.Glob(filepath.Join("..", "..", ".ci", "mutants.d", "*.patch"))
	if err != nil || len(patches) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	by := map[string][]string{}
	for _, file := range patches {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(string(text), "\n")
		for _, number := range trapNumber.FindAllString(title, -1) {
			by[number] = append(by[number], strings.TrimSuffix(filepath.Base(file), ".patch"))
		}
	}
	return by
}

// trapTable is docs/traps.md.
func trapTable(chapters []chapter, cited citations, broken map[string][]string) string {
	var b strings.Builder
	b.WriteString("# Traps\n\nWhat breaks such a server without a word, the rule that weir keeps, and the tests that cite the number and fail when the rule is broken.\n")
	b.WriteString("The last column names the seeded bugs of `.ci/mutants.d` that break the rule: `.ci/mutants NAME` shows a test fail.\n\n")
	b.WriteString("Made of `.ci/traps.txt`, the comments of the tests and the first lines of the bugs by `go test ./cmd/weir -run Golden -update`. A test fails when\nit is not up to date, or when a trap has neither a test nor a reason.\n")
	for _, c := range chapters {
		fmt.Fprintf(&b, "\n## %s\n\n| | what goes wrong | the rule | tests | broken by |\n|---|---|---|---|---|\n", c.title)
		for _, trap := range c.traps {
			tests := trap.reason
			if tests != "" {
				tests = "none: " + tests
			}
			for i, dir := range slices.Sorted(maps.Keys(cited[trap.number])) {
				if i > 0 {
					tests += "; "
				}
				tests += "`" + dir + "` " + strings.Join(cited[trap.number][dir], ", ")
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", trap.number, trap.wrong, trap.rule, tests, strings.Join(broken[trap.number], ", "))
		}
	}
	return b.String()
}
