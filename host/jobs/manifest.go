package jobs

import (
	"strconv"

	"weir/abi"
)

// PluginName is the name under which the manifest is loaded. No other plugin may
// have it, nor a function whose name begins with it and a dot.
const PluginName = "weir"

// The statements of the manifest. Row security adds the tenant to each, so they
// do not name it. The subquery of steps takes the parameter, not the run's
// column, so that its read set is narrow too. A policy reads only columns that never change: progress makes
// no decision run again.
const (
	jobSQL = `select job_id, status, progress, message, output, error from weir.jobs where job_id = $job_id`

	jobPolicySQL = `select 1 from weir.jobs
		where job_id = $job_id and ($admin or owner is null or owner = $principal)`

	// One value for all steps: rows of a nested statement would also have the
	// column by which they are found.
	workflowSQLQuery = `select workflow_id, status, step, waiting_for,
		(select coalesce(json_agg(json_build_object('name', name, 'status', status, 'error', error) order by position), '[]')
			from weir.workflow_steps where workflow_id = $workflow_id) as steps,
		output, error
		from weir.workflow_runs where workflow_id = $workflow_id`

	workflowPolicySQL = `select 1 from weir.workflow_runs
		where workflow_id = $workflow_id and ($admin or owner is null or owner = $principal)`
)

// Manifest returns the built-in functions: the queries weir.job and
// weir.workflow, and the policies that guard them.
func Manifest() *abi.Manifest {
	m := &abi.Manifest{
		ABI: abi.Version, Name: PluginName, Version: strconv.Itoa(Version),
		Statements: []abi.Statement{
			{SQL: jobSQL, Key: []string{"job_id"}},
			{SQL: jobPolicySQL},
			{SQL: workflowSQLQuery, Key: []string{"workflow_id"}},
			{SQL: workflowPolicySQL},
		},
	}
	m.Functions = append(m.Functions,
		query("weir.job", "job_id", 0, "weir.job_access", "A job: how far it is and what came of it.",
			text("status"), abi.Field{Name: "progress", Schema: abi.Schema{Type: "number", Doc: "0 to 100"}},
			optional("message"), anything("output"), optional("error")),
		policy("weir.job_access", "job_id", 1),
		query("weir.workflow", "workflow_id", 2, "weir.workflow_access", "A run of a workflow with its steps.",
			text("status"), optional("step"), optional("waiting_for"),
			list("steps", text("name"), text("status"), optional("error")),
			anything("output"), optional("error")),
		policy("weir.workflow_access", "workflow_id", 3),
	)
	return m
}

func query(name, id string, statement int, guard, doc string, result ...abi.Field) abi.Function {
	field := uuid(id)
	return abi.Function{
		Name: name, Kind: abi.Query, Fields: []abi.Field{field}, Statement: &statement, Doc: doc,
		Access: abi.Access{Policies: []string{guard}},
		Result: &abi.Schema{Type: "array", Items: &abi.Schema{Type: "object", Fields: append([]abi.Field{field}, result...)}},
	}
}

// policy allows an admin, the owner, and where there is no owner everyone who is
// signed in: only they have the claims.
func policy(name, id string, statement int) abi.Function {
	return abi.Function{
		Name: name, Kind: abi.Policy, Fields: []abi.Field{uuid(id)}, Statement: &statement,
		Claims: []abi.Claim{
			{Name: "principal", Claim: "principal", Schema: abi.Schema{Type: "string"}},
			{Name: "admin", Claim: "admin", Schema: abi.Schema{Type: "boolean"}},
		},
	}
}

func uuid(name string) abi.Field {
	return abi.Field{Name: name, Schema: abi.Schema{Type: "string", Format: "uuid"}}
}

func text(name string) abi.Field { return abi.Field{Name: name, Schema: abi.Schema{Type: "string"}} }

func optional(name string) abi.Field {
	return abi.Field{Name: name, Schema: abi.Schema{Type: "string", Optional: true}}
}

func anything(name string) abi.Field { return abi.Field{Name: name} }

func list(name string, fields ...abi.Field) abi.Field {
	return abi.Field{Name: name, Schema: abi.Schema{Type: "array", Items: &abi.Schema{Type: "object", Fields: fields}}}
}
