package abi

// Version is the contract's number; Manifest.ABI must equal it.
const Version = 1

// Module is the name of the import module that carries the host functions. The
// version is part of the name, so that one host can serve several versions and
// an unknown one is refused before a byte of the guest runs.
const Module = "weir_1"

// WASIModule is the import module of the part of WASI preview 1 that weir
// answers itself (ABI.md: no files, no sockets, no environment).
const WASIModule = "wasi_snapshot_preview1"
