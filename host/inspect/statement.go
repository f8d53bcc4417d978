package inspect

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"weir/abi"
)

// Kind says what a statement is for.
type Kind uint8

// The kinds.
const (
	Read  Kind = 'r' // queries and policies: one SELECT
	Write Kind = 'w' // mutations: also INSERT, UPDATE, DELETE and MERGE
)

// Rules are what a verdict depends on besides the text.
type Rules struct {
	// Kind is what the statement is for.
	Kind Kind
	// Schema is the tenant's, which unqualified names mean.
	Schema string
	// Functions are the tenant's sql.functions, each "schema.name".
	Functions []string
}

// Statement is one statement of a plugin. An optional fragment doubles its
// texts; all of them are judged, together.
type Statement struct {
	Rules
	// Tenant is who pays when the statement crashes the child.
	Tenant string
	// Texts are those that PostgreSQL is sent, with $1 … for parameters.
	Texts []string
}

// digest identifies all that the verdict depends on. Every part is preceded by
// its length, so that no two statements can be written alike.
func (s *Statement) digest(program [32]byte) [32]byte {
	h := sha256.New()
	part := func(text string) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write([]byte(text))
	}
	h.Write(program[:])
	h.Write([]byte{byte(s.Kind)})
	part(s.Schema)
	functions := slices.Sorted(slices.Values(s.Functions))
	part(strings.Join(functions, "\x00"))
	for _, text := range s.Texts {
		part(text)
	}
	return [32]byte(h.Sum(nil))
}

// textRefusal refuses what must not even be sent to the child: the parser would
// read another text than the server does.
func textRefusal(text string) error {
	switch {
	case len(text) > abi.MaxStatementText+1<<10: // numbers for names may add a little
		return refuse("is longer than %d bytes: split it", abi.MaxStatementText)
	case strings.IndexByte(text, 0) >= 0:
		return refuse("contains a NUL byte: leave it out")
	case !utf8.ValidString(text):
		return refuse("is not valid UTF-8: write it as UTF-8")
	}
	return nil
}
