// Package plugin loads plugins and keeps those of a tenant up to date.
//
// A Plugin is a file's module with its manifest, its prepared statements and a
// pool of instances. A Set holds the plugins of one tenant by file and answers
// which plugin has a function. Files are loaded, replaced and removed while
// calls go on.
//
// # Promises
//
//   - P1: what is loaded is what was checked. A file is read once, without
//     following a link, and the bytes that were hashed are the bytes that run.
//   - P2: refused early, in a sentence that says what to do: a module that is no
//     guest, a manifest that is wrong or not repeatable, a capability or a claim
//     without a grant (G16), a statement that the Checker refuses, a function
//     name that another plugin has.
//   - P3: a load that fails changes nothing: the plugin of that file goes on
//     serving, and Errors says why the new one does not.
//   - P4: a swap is one atomic pointer. A call that began on the old plugin ends
//     on it; the old one is closed when the last such call has ended.
//   - P5: after a swap OnChange gets the names of the functions whose code
//     changed, appeared or went, so that their groups run again.
//
// # Ownership
//
// A Set starts no goroutine. Load, Remove and Close run one at a time on their
// callers' goroutines; Lookup, All and Errors read an immutable table and never
// wait. A Plugin is immutable but for the count of its users.
//
// # What it does not do
//
// It watches no directory: the host says which file to load. It runs no SQL; a
// Checker that the host hands in knows the database. It decides no access.
package plugin
