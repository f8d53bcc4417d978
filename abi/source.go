//go:build !wasip1

package abi

import "embed"

// Source is the source of this package, its tests included: weir new writes it
// into projects, beside the SDK that needs it. Guests do not carry it.
//
//go:embed *.go
var Source embed.FS
