package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// attackCase is one line of testdata/cases.tsv, and the tests that prove it.
type attackCase struct {
	number          int
	tried, expected string
	note            string // what the tests do not show; begins with notTested where there are none
	tests           map[string][]string
}

const (
	attackCases = 120
	notTested   = "not tested: "
)

// attackParts are the headings of the table, by their first case.
var attackParts = map[int]string{
	1: "a module, when it is loaded", 23: "a module, when it runs", 44: "SQL of a plugin", 59: "clients",
	78: "results that are shared", 92: "faults, which attackers may provoke",
}

// readCases reads testdata/cases.tsv: every case once, in order.
func readCases(t *testing.T) []*attackCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "cases.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*attackCase
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := append(strings.Split(strings.TrimSuffix(line, "\n"), "\t"), "", "", "")
		n, err := strconv.Atoi(cells[0])
		if err != nil || n != len(all)+1 || cells[1] == "" || strings.Contains(line, "|") {
			t.Fatalf("cases.tsv: %q is not the line of case %d", line, len(all)+1)
		}
		all = append(all, &attackCase{number: n, tried: cells[1], expected: cells[2], note: cells[3], tests: map[string][]string{}})
	}
	if len(all) != attackCases {
		t.Fatalf("cases.tsv has %d cases, want %d", len(all), attackCases)
	}
	return all
}

// casesLine is what a test says of itself; casesHint finds those that are misspelt.
var (
	casesLine = regexp.MustCompile(`^// Cases: (\d+(?:, \d+)*)\.$`)
	casesHint = regexp.MustCompile(`^// *[Cc]ases? *:`)
)

// proven adds to each case the tests and fuzz targets whose comments name it.
func proven(t *testing.T, cases []*attackCase) {
	t.Helper()
	goFiles(t, func(file string, text []byte) {
		if !strings.HasSuffix(file, "_test.go") || !strings.Contains(string(text), "ases") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		docs := map[*ast.CommentGroup]string{}
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Doc != nil && fn.Recv == nil && regexp.MustCompile(`^(Test|Fuzz)[A-Z]`).MatchString(fn.Name.Name) {
				docs[fn.Doc] = fn.Name.Name
			}
		}
		for _, group := range parsed.Comments {
			for _, line := range group.List {
				if !casesHint.MatchString(line.Text) {
					continue
				}
				found := casesLine.FindStringSubmatch(line.Text)
				if found == nil || docs[group] == "" {
					t.Errorf("%s: %q: want a line like \"// Cases: 1, 23.\" in the comment of a test", file, line.Text)
					continue
				}
				for _, number := range strings.Split(found[1], ", ") {
					n, _ := strconv.Atoi(number)
					if n < 1 || n > len(cases) {
						t.Errorf("%s: %s proves case %d, which there is not", file, docs[group], n)
						continue
					}
					in := path.Dir(file)
					cases[n-1].tests[in] = append(cases[n-1].tests[in], docs[group])
				}
			}
		}
	})
}

// W8: each attack of our list has a test that says so, or a reason why not, and
// never both.
func TestEachAttackIsTestedOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	proven(t, cases)
	for _, c := range cases {
		excused := strings.HasPrefix(c.note, notTested)
		switch {
		case len(c.tests) == 0 && !excused:
			t.Errorf("case %d has no test: %s", c.number, c.tried)
		case len(c.tests) > 0 && excused:
			t.Errorf("case %d is %q, and %v prove it", c.number, c.note, c.tests)
		case c.expected == "" && !excused:
			t.Errorf("case %d does not say what is expected", c.number)
		}
		for in, tests := range c.tests {
			if slices.Sort(tests); len(slices.Compact(slices.Clone(tests))) != len(tests) {
				t.Errorf("case %d: a test of %s names it twice: %v", c.number, in, tests)
			}
		}
	}
}

// TestGoldenCases: the table in docs/security.md is the one of cases.tsv and of
// the tests of today.
func TestGoldenCases(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- cases: written by go test ./cmd/weir -run GoldenCases -update -->\n", "<!-- end of cases -->\n"
	cases := readCases(t)
	proven(t, cases)
	file := filepath.Join("..", "..", "docs", "security.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of cases", file)
	}
	want := casesTable(cases)
	switch {
	case old == want:
	case *update:
		write(t, file, before+begin+want+end+after)
	default:
		t.Errorf("docs/security.md has another table of cases: run go test ./cmd/weir -run GoldenCases -update")
	}
}

// casesTable writes the table of docs/security.md.
func casesTable(cases []*attackCase) string {
	var b strings.Builder
	b.WriteString("| case | what is tried | what happens | tests |\n|---|---|---|---|\n")
	for _, c := range cases {
		if part := attackParts[c.number]; part != "" {
			fmt.Fprintf(&b, "| | **%s** | | |\n", part)
		}
		var tests []string
		for in, names := range c.tests {
			slices.Sort(names)
			tests = append(tests, in+": "+strings.Join(names, ", "))
		}
		slices.Sort(tests)
		result := strings.Join(tests, "; ")
		if c.note != "" {
			result = strings.TrimPrefix(result+". "+c.note, ". ")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", c.number, c.tried, c.expected, result)
	}
	return b.String()
}
