// Package tenant says who owns data, plugins and limits.
//
// It holds plain data: a Tenant with its names, its trust and its Limits, and
// the sentinels that rooms return when one of these limits is reached. The
// configuration fills it in, every other room reads it.
//
// # Promises
//
//   - T1: the zero Limits runs with safe defaults. 0 means the default, a
//     negative number means off, and only where the field says that it may be.
//   - T2: nothing is granted by omission. A tenant whose trust is not stated is
//     sandboxed, and a capability that is not listed is not there (G16).
//   - T3: every sentinel here is a limit of the tenant that asked, never a fault
//     of the host or of the plugin.
//
// # Ownership
//
// A Tenant is made once per load of the configuration and is not changed after
// that. It may be shared between goroutines without a lock. A reload makes a new
// one.
//
// # What it does not do
//
// It counts nothing and enforces nothing: each room counts what it owns. It
// knows no HTTP, SQL or wasm, and holds no secret: connection strings and keys
// go from the configuration to the room that uses them.
package tenant
