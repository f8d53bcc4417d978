package js

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Package and its version are QuickJS as npm knows it. package-lock.json beside
// this file has the digest that npm checks.
const (
	Package = "quickjs-wasi"
	Version = "3.6.2"
)

// digest is the SHA-256 of the module in the package (J1).
const digest = "d4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9"

// FileName is what the module is called, in the package and where it is kept.
const FileName = "quickjs.wasm"

// ErrOther says that a file is no QuickJS, or not that of Version.
var ErrOther = errors.New("is not the QuickJS of " + Package + "@" + Version)

// Types describes the SDK for editors: weir.d.ts.
//
//go:embed weir.d.ts
var Types string

//go:embed adapter.wat
var adapterText string

//go:embed sdk
var sdkFiles embed.FS

// maxFile bounds what is unpacked.
const maxFile = 16 << 20

// QuickJS returns the module in a file: the module itself, or the npm package as
// npm pack makes it. Anything else is ErrOther.
func QuickJS(file []byte) ([]byte, error) {
	module := file
	if bytes.HasPrefix(file, []byte("\x1f\x8b")) {
		var err error
		if module, err = unpack(file); err != nil {
			return nil, err
		}
	}
	if sum := sha256.Sum256(module); hex.EncodeToString(sum[:]) != digest {
		return nil, ErrOther
	}
	return module, nil
}

func unpack(file []byte) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, ErrOther
	}
	for archive := tar.NewReader(io.LimitReader(zipped, maxFile)); ; {
		header, err := archive.Next()
		if err != nil {
			return nil, ErrOther
		}
		if header.Name == "package/"+FileName {
			module, err := io.ReadAll(archive)
			if err != nil {
				return nil, ErrOther
			}
			return module, nil
		}
	}
}

// Engine links the SDK to QuickJS, as QuickJS returns it. Equal modules give
// equal engines (J2).
func Engine(quickjs []byte) ([]byte, error) {
	a, err := parseAdapter(adapterText)
	if err != nil {
		return nil, fmt.Errorf("BUG: adapter.wat: %w", err)
	}
	sdk, err := script()
	if err != nil {
		return nil, err
	}
	data := append(slices.Clone(sdk), 0)
	name := len(data)
	data = append(append(data, scriptName...), 0)
	return link(quickjs, a, data, map[string]int{"$sdk.length": len(sdk), "$sdk.name": name, "$sdk.size": len(data)})
}

// scriptName is the SDK's file in the stacks of errors.
const scriptName = "weir"

// script is the SDK: one function of the host functions, whose parts are files,
// in the order of their names.
func script() ([]byte, error) {
	out := []byte("(function (host) {\n'use strict';\n")
	entries, err := sdkFiles.ReadDir("sdk")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := sdkFiles.ReadFile("sdk/" + e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return append(out, "})"...), nil
}
