package wasm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"weir/host/inspect"
)

// native is what the compiler made of one module: a file of wazero's cache.
type native struct {
	name string // by which wazero looks for it: it knows the module, the CPU and the options
	code []byte
}

// maxNativeBytes bounds the file: machine code is about four times its module.
const maxNativeBytes = 512 << 20

// errNative is returned for a file that wazero would not have written.
var errNative = errors.New("malformed native code")

// isNativeName reports whether wazero could look for a file of this name.
func isNativeName(name string) bool {
	sum, err := hex.DecodeString(name)
	return err == nil && len(sum) == 32
}

// takeNative takes the native code of a module out of a directory that a compiler
// has ended with. Whoever it was may have left anything there; only exactly what
// wazero leaves is taken.
func takeNative(dir, version string, functions int) (*native, error) {
	if name, err := onlyEntry(dir); err != nil || name != version {
		return nil, fmt.Errorf("%w: it lies in %q, not in %q (%v)", errNative, name, version, err)
	}
	// Not by a link to elsewhere.
	sub := filepath.Join(dir, version)
	if info, err := os.Lstat(sub); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is no directory", errNative, version)
	}
	name, err := onlyEntry(sub)
	if err != nil || !isNativeName(name) {
		return nil, fmt.Errorf("%w: the file is called %q (%v)", errNative, name, err)
	}
	code, err := inspect.ReadPrivate(filepath.Join(sub, name), maxNativeBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNative, err)
	}
	if err := checkNative(code, wazeroVersion(version), functions); err != nil {
		return nil, err
	}
	return &native{name, code}, nil
}

// onlyEntry returns the name of the only entry of a directory, however many there
// are.
func onlyEntry(dir string) (string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	entries, err := f.ReadDir(2)
	if err == nil && len(entries) != 1 {
		err = fs.ErrExist
	}
	if err != nil {
		return "", err
	}
	return entries[0].Name(), nil
}

// checkNative refuses a file whose counts are not those of the module or of the
// file itself: wazero would allocate what they say, or run into a panic. What the
// machine code does is not looked at.
func checkNative(file []byte, version string, functions int) error {
	const magic = "WAZEVO"
	head := magic + string([]byte{byte(len(version))}) + version
	if len(file) < len(head) || string(file[:len(head)]) != head {
		return fmt.Errorf("%w: it is not of wazero %s", errNative, version)
	}
	rest := file[len(head):]
	take := func(n int) []byte {
		if n < 0 || n > len(rest) {
			rest = nil
			return make([]byte, 8) // at most what is read of it below
		}
		taken := rest[:n]
		rest = rest[n:]
		return taken
	}
	if n := binary.LittleEndian.Uint32(take(4)); uint64(n) != uint64(functions) || uint64(n)*8 > uint64(len(rest)) {
		return fmt.Errorf("%w: %d functions, and the module has %d", errNative, n, functions)
	}
	offsets := take(functions * 8)
	size := binary.LittleEndian.Uint64(take(8))
	// The checksum, no source map and no table of catch clauses end the file.
	const end = 4 + 1 + 4
	if uint64(len(rest)) != size+end || size > maxNativeBytes {
		return fmt.Errorf("%w: %d bytes of code in a file of %d", errNative, size, len(file))
	}
	take(int(size) + 4)
	if string(rest) != "\x00\x00\x00\x00\x00" {
		return fmt.Errorf("%w: it has a source map or catch clauses", errNative)
	}
	least := uint64(0)
	for i := range functions {
		at := binary.LittleEndian.Uint64(offsets[i*8:])
		if at < least || at >= size {
			return fmt.Errorf("%w: function %d begins at %d of %d", errNative, i, at, size)
		}
		least = at + 1
	}
	return nil
}

// countFunctions returns how many functions a module defines.
func countFunctions(code []byte) (int, error) {
	const functionSection = 3
	rest := code[min(8, len(code)):]
	for len(rest) > 0 {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return 0, refuse("the module is not valid: a section is cut short")
		}
		content := rest[1+n : 1+n+int(size)]
		if id == functionSection {
			count, n := binary.Uvarint(content)
			if n <= 0 || count > size {
				return 0, refuse("the module is not valid: it says that it has %d functions", count)
			}
			return int(count), nil
		}
		rest = rest[1+n+int(size):]
	}
	return 0, nil
}
