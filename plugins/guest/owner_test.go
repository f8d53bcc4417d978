package weir

import (
	"regexp"
	"strings"
	"testing"
)

// The statement of Owner is the one that its comment promises; what would not be
// a statement is refused when the plugin is built.
func TestOwner(t *testing.T) {
	type docArgs struct {
		ID int64
		Me string `claim:"sub"`
	}
	before := len(standard.statements)
	Owner[docArgs]("owner.test", "documents", "owner")
	Owner[struct {
		Room, Seat int64
		Who        string `claim:"email"`
	}]("owner.test2", `app."my seats"`, "holder")
	var got []string
	for _, s := range standard.statements[before:] {
		got = append(got, s.sql)
	}
	want := []string{
		`select 1 from documents where "id" = $id and owner = $me`,
		`select 1 from app."my seats" where "room" = $room and "seat" = $seat and holder = $who`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	refused := func(name string, declare func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s is taken", name)
			}
		}()
		declare()
	}
	refused("a condition", func() { Owner[docArgs]("x1", "documents where true or 1", "owner") })
	refused("a column that is none", func() { Owner[docArgs]("x2", "documents", "owner = 'x' or owner") })
	refused("no row", func() {
		Owner[struct {
			Me string `claim:"sub"`
		}]("x3", "documents", "owner")
	})
	refused("nobody", func() { Owner[struct{ ID int64 }]("x4", "documents", "owner") })
}

// What stands in a statement as a name is a name, whatever it is made of.
func TestPlainName(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^("[^"\x00]+"|[A-Za-z_][A-Za-z0-9_]*)(\.("[^"\x00]+"|[A-Za-z_][A-Za-z0-9_]*))*$`)
	parts := []string{"", "a", "_", "Z9", "9", `"`, `""`, `"x y"`, "\"\x00\"", ".", "a b", "é", "{", "`", "@", "[", `"é"`, ";"}
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				if s := a + b + c; plainName(s) != pattern.MatchString(s) {
					t.Errorf("%q is a name: %v", s, plainName(s))
				}
			}
		}
	}
}
