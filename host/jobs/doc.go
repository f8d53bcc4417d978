// Package jobs is work that a mutation asks for and a worker does: the tables
// and SQL functions of jobs and workflows, the queries by which they are
// followed live, and the look that keeps them tidy.
//
// Plugins do no network I/O. They write a job with weir.job_create; a worker in
// any language takes it with weir.job_take, says how far it is, and ends it.
// docs/operating.md has the signatures and what a worker may rely on.
//
// # Promises
//
//   - J1: a job is held by at most one attempt. Workers that take at the same
//     moment get different jobs; whoever lost its lease can change nothing more.
//   - J2: work is not lost. A job whose lease ended is taken again; after its
//     last attempt it is failed, and says so.
//   - J3: a function works for the tenant of the role that has logged in
//     (weir.tenant_role), whatever its arguments say, and row security shows
//     that tenant's rows only (W7).
//   - J4: weir.job and weir.workflow are decided as plugins' queries are: by a
//     policy that is a statement, shared, live, and run again by the same rules.
//     They are statements of a manifest; there is no module.
//   - J5: everything is bounded: payloads, texts, steps, leases, attempts, and
//     how long what is over is kept (W6).
//   - J6: tidying disturbs nobody: each statement touches so few rows that the
//     change log has their keys.
//
// # Ownership
//
// The package holds no state. A Sweeper works on the goroutine that calls Run.
//
// # What it does not do
//
// It runs no jobs, knows no HTTP and no wasm, and tells no worker that there is
// something to do: workers ask. It installs nothing itself: Part's text is for
// the setup of the schema weir.
package jobs
