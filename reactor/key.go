package reactor

import "encoding/binary"

// Key is the identity of a query group: two subscriptions share a group if and
// only if their keys are equal byte for byte (W4). It is compared in full; no
// hash decides (F13).
type Key string

// KeyParts is everything that can make one execution's result differ from
// another's. This is the line that decides that two users may share a result:
// what is not in here, the function cannot see.
type KeyParts struct {
	Tenant   string
	Plugin   string // digest of the module
	Config   string // version of the plugin's configuration and grants
	Role     string // database role and search path
	Function string
	Input    []byte // deterministic CBOR: arguments, declared claims, declared scope
}

// Key returns the key of the parts. Every part is preceded by its length, so
// that no two different lists of parts give the same bytes.
func (p *KeyParts) Key() Key {
	size := len(p.Tenant) + len(p.Plugin) + len(p.Config) + len(p.Role) + len(p.Function) + len(p.Input)
	b := make([]byte, 0, size+6*binary.MaxVarintLen32)
	for _, part := range [...]string{p.Tenant, p.Plugin, p.Config, p.Role, p.Function} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Input)))
	return Key(append(b, p.Input...))
}
