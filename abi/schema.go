package abi

// ArgumentError says which argument is wrong and why.
type ArgumentError struct {
	Path    string // "limit", "filter.author", "ids[3]"; "" for the whole
	What    string
	Unknown bool // there is no such argument
}

// Error returns a sentence.
func (e *ArgumentError) Error() string { return e.What }

// Code returns BadRequest.
func (e *ArgumentError) Code() Code { return BadRequest }

// Check completes v.
func (s *Schema) Check(v Value) (Value, error) { return v, nil }

// AppendJSONSchema appends s as JSON Schema.
func AppendJSONSchema(dst []byte, s *Schema) []byte { return dst }
