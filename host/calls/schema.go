package calls

import _ "embed"

// Version is that of the table and its functions.
const Version = 1

//go:embed schema.sql
var schemaSQL string

// SchemaSQL returns the statements that make table and functions, to be run as
// weir's role. They may be run again.
func SchemaSQL() string { return schemaSQL }
