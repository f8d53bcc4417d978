// Command plugin is the poster shop's plugin. It does no work that takes long and
// reaches no network: it writes jobs, and a worker does the rest.
//
//	posters.mine     the caller's posters; a SELECT
//	posters.picture  one picture, when it is painted; a SELECT
//	posters.order    writes a poster and the job that paints it
//	posters.publish  begins the workflow of a painted poster
//	posters.answer   approves or declines what the workflow waits for
//	posters.cancel   cancels a job; one statement
//	posters.discard  removes a poster
//
// How far a job or a run is, the page asks weir itself: weir.job, weir.workflow.
//
// # Promises
//
//   - A poster and its job are written in one transaction: there is never one
//     without the other.
//   - Everybody sees, publishes and cancels his own posters only.
package main
