package abitest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/abi"
)

// HostRule is one rule for hosts, with all its cases.
type HostRule struct {
	Name  string
	Says  string // the words of docs/abi.md that it stands on
	Traps string // what went wrong for others: numbers of the list of traps, or ""
	loads []loadCase
	books []*book
}

// Cases returns how many cases a rule has.
func (r *HostRule) Cases() int {
	n := len(r.loads)
	for _, b := range r.books {
		n += len(b.cases)
	}
	return n
}

// loadCase is a module and what loading it says: nothing, "refused" or a code.
type loadCase struct {
	name   string
	module []byte
	setup  Setup
	want   string
	words  []string // parts of the sentence
}

// Hosts runs all rules for hosts against one. A failure names its rule and case.
func Hosts(t *testing.T, h Host) {
	t.Helper()
	for _, r := range HostRules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			for _, c := range r.loads {
				if why := c.run(t, h); why != "" {
					t.Errorf("%s: %s\n%s %s", c.name, why, r.Says, r.Traps)
				}
			}
			for _, b := range r.books {
				for _, why := range b.run(t, h) {
					t.Errorf("%s\n%s %s", why, r.Says, r.Traps)
				}
			}
		})
	}
}

func (c *loadCase) run(t testing.TB, h Host) string {
	_, err := h.Load(t, c.module, c.setup)
	got := ""
	switch {
	case errors.Is(err, ErrRefused):
		got = "refused"
	case err != nil:
		got = string(codeOf(err))
	}
	if got != c.want {
		return fmt.Sprintf("loading it gives %q (%v), want %q", got, err, c.want)
	}
	for _, w := range c.words {
		if !strings.Contains(err.Error(), w) {
			return fmt.Sprintf("the sentence %q does not say %q", err, w)
		}
	}
	return ""
}

// codeOf returns the code of an error, or what it is.
func codeOf(err error) abi.Code {
	var coded interface{ Code() abi.Code }
	switch {
	case errors.As(err, &coded):
		return coded.Code()
	case errors.Is(err, context.DeadlineExceeded): // it waited for its turn until then
		return abi.Deadline
	}
	return abi.Code("an error without a code: " + err.Error())
}

// book adds a guest to a rule.
func (r *HostRule) book(g guest, s Setup) *book {
	b := &book{guest: g, setup: s}
	r.books = append(r.books, b)
	return b
}

// load adds a module to a rule.
func (r *HostRule) load(name, want string, module []byte, words ...string) {
	r.loads = append(r.loads, loadCase{name: name, module: module, want: want, words: words})
}

const refused = "refused"
