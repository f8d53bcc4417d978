package host

import (
	"strings"
	"testing"

	"weir/reactor"
	"weir/reactor/changelog"
)

// TestWhyTellsNobodysSecrets: outside of weir dev, texts of changed rows are not
// told, nor anything of rows in tables that tenants share; and who asks about
// a result by its name is not told what came from its callers.
func TestWhyTellsNobodysSecrets(t *testing.T) {
	t.Parallel()
	tables := map[uint32]changelog.Table{
		1: {Name: "acme.notes", Columns: map[uint16]changelog.Column{1: {Name: "id", Kind: reactor.KindInt}, 2: {Name: "owner", Kind: reactor.KindText}}},
		2: {Name: "public.shared", Columns: map[uint16]changelog.Column{1: {Name: "id", Kind: reactor.KindInt}}},
	}
	f := func(name string, tell teller, table uint32, column uint16, value reactor.Value, want string) {
		t.Helper()
		tell.tables, tell.schema = tables, "acme"
		m := reactor.Miss{Column: column, Got: []reactor.Datum{{Column: column, Value: value}}, Want: []reactor.Value{value}}
		if got := tell.miss(table, &m); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	id, owner := reactor.IntValue(7), reactor.Value("ann")
	f("dev", teller{open: true}, 1, 2, owner, `owner is "ann", the query reads "ann"`)
	f("own table", teller{}, 1, 1, id, "id is 7, the query reads 7")
	f("a text", teller{}, 1, 2, owner, `owner is another value, the query reads "ann"`)
	f("a shared table", teller{}, 2, 1, id, "id is another value, the query reads 7")
	f("a shared table of the only tenant", teller{alone: true}, 2, 1, id, "id is 7, the query reads 7")
	f("asked by name", teller{others: true}, 1, 2, owner, "owner is another value, the query reads a value of the caller's")
	atom := reactor.Atom{Table: 1, Eq: []reactor.Equality{{Column: 2, Values: []reactor.Value{owner}}}}
	tell := teller{tables: tables, others: true}
	if text := tell.atom(&atom); strings.Contains(text, "ann") {
		t.Errorf("asked by name: %s", text)
	}
}
