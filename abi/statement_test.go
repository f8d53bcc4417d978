package abi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/abi"
)

func TestStatementFindsParametersOutsideLiteralsAndComments(t *testing.T) {
	t.Parallel()
	f := func(sql, want string, params ...string) {
		t.Helper()
		tpl, err := abi.ParseStatement(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		got, names := tpl.Text(tpl.Variants() - 1)
		if got != want || !slices.Equal(names, params) {
			t.Errorf("%s: got %s %v, want %s %v", sql, got, names, want, params)
		}
	}
	f("select 1", "select 1")
	f("select $a", "select $1", "a")
	f("select $a,$b,$a", "select $1,$2,$1", "a", "b")
	f("select $a::int, x::text", "select $1::int, x::text", "a")
	f("select $a.b, ($a)[1], f($a)", "select $1.b, ($1)[1], f($1)", "a")
	f("select x->'$a'->>$b #> '{a,b}'", "select x->'$a'->>$1 #> '{a,b}'", "b")
	f(`select x ? $a, x @> '{"a":1}'`, `select x ? $1, x @> '{"a":1}'`, "a")
	f("select 'it''s $a', $b", "select 'it''s $a', $1", "b")
	f(`select 'a\', $b`, `select 'a\', $1`, "b")                     // standard_conforming_strings
	f(`select E'a\'$a', $b`, `select E'a\'$a', $1`, "b")             // escape string
	f(`select e'a\\', $b`, `select e'a\\', $1`, "b")                 // ends after the escaped backslash
	f(`select name'a\', $b`, `select name'a\', $1`, "b")             // the e belongs to a name
	f("select E'a'\n '\\'$a', $b", "select E'a'\n '\\'$a', $1", "b") // continues as an escape string
	f("select E'a' --$x\n '\\'$a', $b", "select E'a' --$x\n '\\'$a', $1", "b")
	f(`select E'a' '\', $b`, `select E'a' '\', $1`, "b") // no line break: another literal
	f(`select U&'\0061 $a', $b`, `select U&'\0061 $a', $1`, "b")
	f(`select "a$b ""$c", $d`, `select "a$b ""$c", $1`, "d")
	f("select $$it's $a$$, $b", "select $$it's $a$$, $1", "b")
	f("select $q$ $$ $a $q $q$, $b", "select $q$ $$ $a $q $q$, $1", "b")
	f("select $a -- $b {\n, $c", "select $1 -- $b {\n, $2", "a", "c")
	f("select /* $a /* $b */ { */ $c", "select /* $a /* $b */ { */ $1", "c")
	f("select a$b, $c", "select a$b, $1", "c") // a dollar inside a name
	f("select ü$b, $c", "select ü$b, $1", "c")
	f("select 1e'\\', $b", "select 1e'\\', $1", "b")
	f("select a - -$b, a -$b", "select a - -$1, a -$1", "b")
	f("select $now, $Room_2", "select $1, $2", "now", "Room_2")
	f("select 1 {where a = $a}", "select 1  where a = $1 ", "a")
	f("select 1 {where a = $a}{and b = '}'||$b}", "select 1  where a = $1  and b = '}'||$2 ", "a", "b")
}

func TestStatementKeepsAFragmentOnlyWhenAllItsNamesArePresent(t *testing.T) {
	t.Parallel()
	tpl, err := abi.ParseStatement("select * from m where room = $room {and author = $author} {and id < $before and x > $author} limit $limit")
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.Names(); !slices.Equal(got, []string{"room", "author", "before", "limit"}) {
		t.Errorf("names are %v", got)
	}
	f := func(present, want string, params ...string) {
		t.Helper()
		v := tpl.Variant(func(name string) bool { return slices.Contains(strings.Fields(present), name) })
		got, names := tpl.Text(v)
		if got = strings.Join(strings.Fields(got), " "); got != want || !slices.Equal(names, params) {
			t.Errorf("with %s: got %s %v", present, got, names)
		}
	}
	f("room limit", "select * from m where room = $1 limit $2", "room", "limit")
	f("room limit before", "select * from m where room = $1 limit $2", "room", "limit")
	f("room limit author", "select * from m where room = $1 and author = $2 limit $3", "room", "author", "limit")
	f("room limit author before", "select * from m where room = $1 and author = $2 and id < $3 and x > $2 limit $4", "room", "author", "before", "limit")
	if tpl.Variants() != 4 {
		t.Errorf("got %d variants, want 4", tpl.Variants())
	}
}

func TestStatementTimeIsAlwaysPresent(t *testing.T) {
	t.Parallel()
	tpl, err := abi.ParseStatement("select 1 {where until > $now and a = $a}")
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.Variant(func(name string) bool { return name == "a" }); got != 1 {
		t.Errorf("got variant %d, want 1", got)
	}
}

// A dropped or kept fragment must not glue what stands beside it.
func TestStatementFragmentsNeverJoinTokens(t *testing.T) {
	t.Parallel()
	tpl, err := abi.ParseStatement("select 3 -{-$a}1")
	if err != nil {
		t.Fatal(err)
	}
	for v := range tpl.Variants() {
		if sql, _ := tpl.Text(v); strings.Contains(sql, "--") || strings.Contains(sql, "$11") {
			t.Errorf("variant %d is %s", v, sql)
		}
	}
}

// Cases: 45.
func TestStatementRefusals(t *testing.T) {
	t.Parallel()
	f := func(sql, want string) {
		t.Helper()
		_, err := abi.ParseStatement(sql)
		var e *abi.StatementError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %s", sql, err, want)
		}
	}
	f("", "the statement is empty")
	f(" \n", "the statement is empty")
	f("select\n$1", "line 2: $1 is numbered: parameters have names, write $room")
	f("select $", "a dollar sign without a name")
	f("select $é", "must be of ASCII letters")
	f("select 'a", "the string that begins here has no closing quote")
	f(`select E'a\'`, "the string that begins here has no closing quote")
	f(`select "a`, "the quoted name that begins here has no closing quote")
	f("select $a$ b", "the string that begins with $a$ does not end")
	f("select /* /* */", "the comment that begins here does not end")
	f("select {where a = $a", "the fragment that begins here has no closing brace")
	f("select {where a = $a -- }", "the fragment that begins here has no closing brace")
	f("select {a {b $b} $a}", "a fragment inside a fragment")
	f("select }", "a closing brace without an opening one")
	f("select {where true}", "a fragment without a parameter would always be kept")
	f("select "+strings.Repeat("{$a}", abi.MaxFragments+1), "more than 6 optional fragments")
	f("select '\x00'", "NUL")
	f("select '\xff'", "not valid UTF-8")
	f("select "+strings.Repeat(" ", abi.MaxStatementText), "longer than 65536 bytes")
	f("select $"+strings.Repeat("a", 200), "longer than 128 bytes")
	var many strings.Builder
	for i := range abi.MaxParameters + 1 {
		many.WriteString(" $p")
		many.WriteString(strings.Repeat("a", i%16) + strings.Repeat("b", i/16))
	}
	f("select"+many.String(), "more than 256 parameters")
}

// FuzzStatement checks that the numbered text of every variant, its numbers
// turned back to names, is a statement with the same parameters and no
// fragments: nothing is found or lost by the rewriting.
// Cases: 45.
func FuzzStatement(f *testing.F) {
	for _, seed := range []string{
		"select $a {and b = $b} -- $c\n limit $d", "select E'\\'' $a", "select $$ $x $$ || $y", `select "a$b" /* /* $c */ */ {x $d}{y $e}`,
		"select 3 -{-$a}1", "select E'a'\n'\\'$b' , $c", "a$b$c $d", "1e'$a' $b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		tpl, err := abi.ParseStatement(sql)
		if err != nil {
			return
		}
		if tpl.Variants() > 64 || len(tpl.Names()) > abi.MaxParameters {
			t.Fatalf("%q: %d variants, %d names", sql, tpl.Variants(), len(tpl.Names()))
		}
		for v := range tpl.Variants() {
			text, params := tpl.Text(v)
			if _, err := abi.ParseStatement(text); (err == nil) != (len(params) == 0) && strings.TrimSpace(text) != "" && len(text) <= abi.MaxStatementText {
				t.Fatalf("%q variant %d: %q with %v: %v", sql, v, text, params, err)
			}
			// Names that are in order of their first use number themselves again.
			named, ok := rename(text, params)
			if !ok || strings.TrimSpace(named) == "" || len(named) > abi.MaxStatementText {
				continue
			}
			again, err := abi.ParseStatement(named)
			if err != nil {
				t.Fatalf("%q variant %d: %q: %v", sql, v, named, err)
			}
			got, names := again.Text(0)
			if got != text || len(names) != len(params) || again.Variants() != 1 {
				t.Fatalf("%q variant %d: %q is parsed again as %q with %v, want %v", sql, v, text, got, names, params)
			}
		}
	})
}

// rename replaces $n by the name of parameter n. It cannot know literals, so it
// gives up on texts that have any.
func rename(text string, params []string) (string, bool) {
	if strings.ContainsAny(text, `'"`) || strings.Contains(text, "--") || strings.Contains(text, "/*") || strings.Contains(text, "$$") {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '$' && i > 0 && isName(text[i-1]) {
			return "", false // after a number a parameter, in a name none
		}
		if text[i] != '$' || i+1 == len(text) || text[i+1] < '0' || text[i+1] > '9' {
			b.WriteByte(text[i])
			continue
		}
		n, j := 0, i+1
		for ; j < len(text) && text[j] >= '0' && text[j] <= '9'; j++ {
			n = n*10 + int(text[j]-'0')
		}
		if n < 1 || n > len(params) || j < len(text) && isName(text[j]) {
			return "", false
		}
		b.WriteString("$" + params[n-1])
		i = j - 1
	}
	return b.String(), true
}

func isName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
