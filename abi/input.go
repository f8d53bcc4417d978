package abi

// Caller is where a function's input comes from beside its arguments. A nil
// function has nothing.
type Caller struct {
	Claim func(name string) (Value, bool) // claims of the caller's token, by their names for plugins
	Scope func(name string) (Value, bool) // values that policies put into the scope
	// Action and Function are what a policy is asked about; GuardInput sets
	// them itself.
	Action   string // "read" or "write"
	Function string
}

// Input is all that a function sees of its caller.
type Input struct {
	Values []Value // fields, claims, scope, then action and function of a policy
	Bytes  []byte  // the deterministic CBOR array of Values: the key's content
}

// Input checks args (a map, or null for none) and completes the input of f.
func (f *Function) Input(args Value, c Caller) (Input, error) { return Input{}, nil }

// GuardInput returns the input of policy p for a call of f whose input is in.
func (f *Function) GuardInput(p *Function, in Input, c Caller) (Input, error) { return Input{}, nil }

// Arguments returns the schema of the function's arguments, an object.
func (f *Function) Arguments() *Schema { return &Schema{Type: "object", Fields: f.Fields} }

// ParseQuery returns the arguments of fn from URL parameters.
func ParseQuery(fn *Function, params map[string][]string) (Value, error) { return Value{}, nil }
