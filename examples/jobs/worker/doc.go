// Command worker paints and publishes the posters of the shop. It is an ordinary
// program with a connection to PostgreSQL: all that it knows of weir are the SQL
// functions weir.job_* and weir.workflow_* (docs/operating.md). Start as many as
// you like, and kill them when you like.
//
//	worker -url postgres://weir_guest@localhost/app
//
// # Promises
//
//   - It holds one job at a time and says how far it is at least twice a lease.
//   - It stops when it is told that the job is not its own any more: cancelled,
//     or taken by another because this one was silent for too long.
//   - A picture is stored in the transaction that ends its job, so that it is
//     there once, whatever is killed when.
//   - A step of a run that is done is not done again.
package main
