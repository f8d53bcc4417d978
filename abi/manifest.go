package abi

// Manifest is what a plugin says of itself. It is encoded as a CBOR map with the
// names of the json tags (ABI.md shows it as JSON). Unknown keys are refused, so
// that a misspelt one is not silently nothing.
type Manifest struct {
	ABI          int         `json:"abi"`
	Name         string      `json:"name"`
	Version      string      `json:"version"`
	Statements   []Statement `json:"statements"`
	Functions    []Function  `json:"functions"`
	Capabilities []string    `json:"capabilities"`
}

// Statement is one SQL statement with named parameters ($room) and optional
// fragments ({and author = $author}, kept only when every name in it is present,
// that is, not null).
type Statement struct {
	SQL string `json:"sql"`
	// Key names the columns that tell rows apart. It makes deltas possible.
	Key []string `json:"key,omitempty"`
	// Nest attaches rows of child statements.
	Nest []Nest `json:"nest,omitempty"`
}

// Nest puts the rows of a child statement under Name in each parent row. The
// host fills the child's only parameter, a set, with the parents' values of On
// and groups the child's rows by Column.
type Nest struct {
	Name      string `json:"name"`
	On        string `json:"on"`
	Statement int    `json:"statement"`
	Column    string `json:"column"`
}

// Kind is what a function is for.
type Kind string

// The kinds.
const (
	Query    Kind = "query"
	Mutation Kind = "mutation"
	Policy   Kind = "policy"
)

// Function is a query, a mutation or a policy. Its input is Fields, then Claims,
// then Scope, in that order.
type Function struct {
	Name   string  `json:"name"`
	Kind   Kind    `json:"kind"`
	Fields []Field `json:"fields"`
	Claims []Claim `json:"claims,omitempty"`
	Scope  []Field `json:"scope,omitempty"`
	// Statement, if not nil, is all that the function does: the host runs it
	// and the guest is never entered.
	Statement *int `json:"statement,omitempty"`
	// Uses lists the statements that a guest function may run.
	Uses   []int   `json:"uses,omitempty"`
	Access Access  `json:"access"`
	Result *Schema `json:"result,omitempty"`
	// Action and Call say that a policy wants `action` ("read" or "write") and
	// `function` (the guarded function's name). They come after Scope in the
	// input, action first.
	Action bool `json:"action,omitempty"`
	Call   bool `json:"function,omitempty"`
	// Doc is a sentence for people.
	Doc string `json:"doc,omitempty"`
}

// Field is one argument, or one value that policies put into the scope.
type Field struct {
	Name   string `json:"name"`
	Schema Schema `json:"schema"`
}

// Claim is one value taken from the caller's token: Claim is its name for
// plugins ("sub", "roles"), Name the field's name in the input.
type Claim struct {
	Name   string `json:"name"`
	Claim  string `json:"claim"`
	Schema Schema `json:"schema"`
}

// Access is who may call: exactly one of the three. It is encoded as the string
// "signed_in", the string "public", or the map {"policies": [names]}.
type Access struct {
	Policies []string
	SignedIn bool
	Public   bool
}

// Stated reports whether the function says anything about access.
func (a Access) Stated() bool { return len(a.Policies) > 0 || a.SignedIn || a.Public }

// Schema is the part of JSON Schema that weir checks arguments with. The zero
// Schema accepts anything.
type Schema struct {
	// Type is "integer", "number", "string", "boolean", "object", "array", or
	// empty for any.
	Type string `json:"type,omitempty"`
	// Format refines a string: "uuid", "date", "date-time", "bytes" (base64 in
	// JSON, a byte string in CBOR), "decimal", "json" (any JSON, given to the
	// function as its text). Other formats are documentation.
	Format string `json:"format,omitempty"`
	// Optional fields may be absent or null; the function then sees null, or
	// Default.
	Optional bool     `json:"optional,omitempty"`
	Default  *Value   `json:"default,omitempty"`
	Min      *float64 `json:"minimum,omitempty"`
	Max      *float64 `json:"maximum,omitempty"`
	MinLen   *int     `json:"minLength,omitempty"` // of a string in characters, of an array in items
	MaxLen   *int     `json:"maxLength,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Items    *Schema  `json:"items,omitempty"`
	// Fields are the members of an object; others are refused. An object is
	// encoded as a CBOR array in this order, as the input itself.
	Fields []Field `json:"fields,omitempty"`
	Doc    string  `json:"description,omitempty"`
}
