package jobs

import _ "embed"

// Version is that of the tables and functions. It grows with every change of
// them, so that a database which was set up by another weir is noticed.
const Version = 1

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed workflow.sql
	workflowSQL string
	//go:embed tenant.sql
	tenantSQL string
)

// SchemaSQL returns the statements that make tables, functions and rights, to be
// run as weir's role. $GUEST in it stands for the quoted name of the guest role.
// It may be run again.
func SchemaSQL() string { return schemaSQL + "\n" + workflowSQL + "\n" + tenantSQL }
