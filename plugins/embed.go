// Package plugins holds the source of the SDKs in Go, Rust and C, so that weir new
// can write them into a project that then builds without a network.
//
// # What it does not do
//
// It is no part of the SDKs: plugins in Go import plugins/guest.
package plugins

import "embed"

// Guest is the source of the Go SDK below guest, its tests included. Files are read
// only.
//
//go:embed guest/*.go guest/weirtest/*.go guest/internal/door/*.go
var Guest embed.FS

// Rust is the crate of the SDK in Rust below rust.
//
//go:embed rust/Cargo.toml rust/src/*.rs
var Rust embed.FS

// C is the header of the SDK in C below c.
//
//go:embed c/weir.h
var C embed.FS
