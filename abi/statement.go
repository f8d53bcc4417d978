package abi

// ParamNow is the reserved parameter $now.
const ParamNow = "now"

// Template is a statement's text, parsed.
type Template struct{}

// StatementError says where a statement's text is wrong and why.
type StatementError struct {
	Offset int // bytes
	Line   int // from 1
	What   string
}

// Error returns "line LINE: WHAT".
func (e *StatementError) Error() string { return e.What }

// ParseStatement parses a statement's text.
func ParseStatement(sql string) (*Template, error) { return &Template{}, nil }

// Names returns the parameters in order of first use.
func (t *Template) Names() []string { return nil }

// Variants returns 1 << fragments.
func (t *Template) Variants() int { return 1 }

// Variant returns which variant to run: bit i is set when fragment i is kept.
func (t *Template) Variant(present func(name string) bool) int { return 0 }

// Text returns a variant's SQL with $1..$n and the names of its parameters.
func (t *Template) Text(variant int) (sql string, params []string) { return "", nil }
