// Package plugins holds the source of the Go SDK, so that weir new can write it
// into a project that then builds without a network.
//
// # What it does not do
//
// It is no part of the SDK: plugins import plugins/guest.
package plugins

import "embed"

// Guest is the source of the SDK below guest, its tests included. Files are read
// only.
//
//go:embed guest/*.go guest/weirtest/*.go guest/internal/door/*.go
var Guest embed.FS
