package abi

// Errno is why a host function refused. It is returned negated; the text of the
// last one is read with ImportError.
type Errno int32

// The error numbers.
const (
	OK           Errno = 0
	ErrnoInvalid Errno = 1  // an argument is malformed: CBOR, index, name
	ErrnoBounds  Errno = 2  // an address or length is outside memory
	ErrnoHandle  Errno = 3  // no such handle in this call
	ErrnoState   Errno = 4  // not allowed in this kind of function or at this time
	ErrnoGrant   Errno = 5  // capability not granted, or statement not in uses
	ErrnoLimit   Errno = 6  // a limit of the call is reached
	ErrnoSQL     Errno = 7  // PostgreSQL refused the statement
	ErrnoMissing Errno = 8  // no such configuration key
	ErrnoHost    Errno = 9  // the host's fault: database away, deadline
	ErrnoType    Errno = 10 // an argument does not fit the parameter's type
)

// errnoText is what ImportError says when the host has nothing more exact.
var errnoText = [...]string{
	"no error", "malformed argument", "address outside memory", "no such handle",
	"not allowed here", "not granted", "limit reached", "statement refused",
	"no such key", "host fault", "wrong type",
}

// String returns a short text.
func (e Errno) String() string {
	if e < 0 || int(e) >= len(errnoText) {
		return "unknown error"
	}
	return errnoText[e]
}

// Error makes an Errno an error.
func (e Errno) Error() string { return e.String() }
