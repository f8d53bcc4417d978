// Package config reads weir's TOML file and says in one sentence each what is
// wrong with it.
//
// Load reads a file and the secrets that it names; Parse is the same without
// touching the disk. Both return a Config in which every value is filled in:
// from the file, or from its default.
//
// # Promises
//
//   - K1: nothing is ignored. A key that is not known is refused with its line
//     and the nearest known one.
//   - K2: all errors are reported, not only the first, in the order of the file,
//     each with the next step.
//   - K3: a variable that is not set is an error, never an empty string. A
//     variable's content is a value: it cannot add keys or open a table.
//   - K4: secrets do not leave by accident: Secret prints as three stars in
//     every format, and Dump never shows one. What a plugin is told counts as a
//     secret if a variable is part of it.
//   - K5: 0 in a limit means off and is refused where off is not allowed; a
//     negative number is refused everywhere. In the Config off is -1 and 0 does
//     not occur but for limits that are off by default.
//   - K6: relative paths are those of the file's directory, not of the process.
//
// # How it is built
//
// The structs of this package are the schema. Their tags name the key, the
// default and the rules, and reading, defaults, nearest names and Dump all walk
// the same tags. The TOML library parses; a small scanner finds the line of each
// key, which the library does not tell.
//
// # Ownership
//
// There are no goroutines. A Config is not changed after it was returned and may
// then be shared.
//
// # What it does not do
//
// It opens no connection, checks no database and knows none of the other rooms.
// Whether a directory exists or a URL answers is found out by who uses it.
// Watching the file and reloading belong to the host.
package config
