package jobs

import _ "embed"

// Version is that of the tables and functions. It grows with every change of
// them, so that a database which was set up by another weir is noticed.
const Version = 2

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed workflow.sql
	workflowSQL string
	//go:embed tenant.sql
	tenantSQL string
)

// Functions returns the names of the SQL functions that a guest or worker may
// call, with their schema, sorted. All of them keep to the tenant of the role.
func Functions() []string {
	return []string{
		"weir.job_cancel", "weir.job_create", "weir.job_fail", "weir.job_finish", "weir.job_progress",
		"weir.job_sweep", "weir.job_take", "weir.tenant",
		"weir.workflow_cancel", "weir.workflow_create", "weir.workflow_fail", "weir.workflow_finish",
		"weir.workflow_step_fail", "weir.workflow_step_finish", "weir.workflow_step_output",
		"weir.workflow_step_start", "weir.workflow_step_wait",
	}
}

// SchemaSQL returns the statements that make tables, functions and rights, to be
// run as weir's role. $GUEST in it stands for the quoted name of the guest role.
// It may be run again.
func SchemaSQL() string { return schemaSQL + "\n" + workflowSQL + "\n" + tenantSQL }
