package abitest

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"weir/abi/conform"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/abi.md")

const (
	page      = "../../docs/abi.md"
	openMark  = "<!-- rules -->\n"
	closeMark = "<!-- /rules -->\n"
)

// split returns what the page says, and its tables of rules.
func split(t *testing.T) (before, tables, after string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), openMark)
	tables, after, ok2 := strings.Cut(rest, closeMark)
	if !ok || !ok2 {
		t.Fatal("docs/abi.md has no marks for the rules")
	}
	return before, tables, after
}

// TestGoldenRules compares the tables of docs/abi.md with the kit.
func TestGoldenRules(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	cell := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	want.WriteString("For guests:\n\n| rule | says | if it fails |\n|---|---|---|\n")
	for _, r := range conform.Rules() {
		fmt.Fprintf(&want, "| `%s` | %s “%s” | %s |\n", r.Name, r.Title, cell(r.Says), r.Do)
	}
	want.WriteString("\nFor hosts:\n\n| rule | says | cases |\n|---|---|---|\n")
	for _, r := range HostRules() {
		fmt.Fprintf(&want, "| `%s` | “%s” | %d |\n", r.Name, cell(r.Says), r.Cases())
	}
	before, got, after := split(t)
	if *update {
		if err := os.WriteFile(page, []byte(before+openMark+want.String()+closeMark+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want.String() {
		t.Errorf("the rules of docs/abi.md are others: run go test ./abi/abitest -run Golden -update\n%s", want.String())
	}
}

// Each rule stands on a sentence of the contract, word for word.
func TestRulesQuoteTheContract(t *testing.T) {
	t.Parallel()
	before, _, _ := split(t)
	flat := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "**", "")), " ") }
	contract, _, _ := strings.Cut(before, "## Your own SDK")
	names := map[string]bool{}
	says := func(name, words string) {
		if !strings.Contains(flat(contract), flat(words)) {
			t.Errorf("%s: docs/abi.md does not say %q", name, words)
		}
		if names[name] {
			t.Errorf("%s: there are two", name)
		}
		names[name] = true
	}
	for _, r := range conform.Rules() {
		says(r.Name, r.Says)
		if r.Title == "" || r.Do == "" {
			t.Errorf("%s says nothing", r.Name)
		}
	}
	for _, r := range HostRules() {
		says(r.Name, r.Says)
		if r.Cases() == 0 {
			t.Errorf("%s has no cases", r.Name)
		}
	}
}

// Equal kits are equal bytes: a host may keep what it compiled.
func TestGuestsOfTheKitAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	for i, a := range Wrongs() {
		if b := Wrongs()[i]; string(a.Module) != string(b.Module) {
			t.Errorf("%s %s differs", a.Rule, a.How)
		}
	}
	again := HostRules()
	for i, r := range HostRules() {
		for j := range r.books {
			if string(r.books[j].module()) != string(again[i].books[j].module()) {
				t.Errorf("a guest of %s differs", r.Name)
			}
		}
	}
}
