package inspect

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// denied are functions that no list has.
var denied = []string{
	"pg_sleep", "set_config", "current_setting", "pg_read_file", "pg_advisory_lock", "pg_notify", "dblink", "lo_import", "query_to_xml",
	"pg_terminate_backend", "nextval", "txid_current", "ts_stat",
}

// plainly reports whether a text calls a denied function in plain sight: its name,
// unquoted, where an expression begins, before a bracket.
func plainly(list []token) string {
	for i := 1; i+1 < len(list); i++ {
		name := strings.ToLower(list[i].text)
		if list[i+1].text == "(" && slices.Contains(denied, name) &&
			slices.Contains([]string{"select", "where", "=", "||", "and", "not", "when", "then"}, strings.ToLower(list[i-1].text)) {
			return name
		}
	}
	return ""
}

// FuzzSQL: whatever the text, the walker refuses or allows; it does not panic, the
// parser does not trap, and what a denied function is called by is refused.
// Cases: 45.
func FuzzSQL(f *testing.F) {
	for _, text := range []string{
		`select id, author from messages where room_id = $1 order by id desc limit $2`,
		`with recursive t(n) as (select 1 union all select n + 1 from t where n < 100) select case when n is null then lower('a') end from t`,
		`insert into m (a) values ($1) on conflict (a) do update set b = excluded.b where pg_sleep(1) is null returning *`,
		`select x.pg_advisory_lock from generate_series(1, 20000) x`,
		`select (7).pg_sleep, 'pg_authid'::regclass, count(*) filter (where a) over (partition by b order by c)`,
		`select 1; commit`, "select $$a$$, E'\\n', U&'\\0041', b'1', x'f', 1e5 /* a /* b */ c */ -- d",
		`merge into s using x on s.id = x.id when matched then delete when not matched then insert values (1)`,
		`select * from jsonb_to_recordset($1) as r(a int, b text), unnest(a) with ordinality`,
		`update t set (a, b) = (select set_config('a', 'b', true), nextval('s')) where query_to_xml('a', true, true, '') is null`,
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	// Compiling the parser takes longer than one input may.
	if err := check("select 1", &Rules{Kind: Read}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, write bool) {
		rules := Rules{Kind: Read, Schema: "acme", Functions: []string{"acme.own"}}
		if write {
			rules.Kind = Write
		}
		err := check(text, &rules)
		var refused *RefusedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil && (refused.What == "" || len(refused.What) > 1<<10) {
			t.Errorf("%q: the refusal has %d bytes", text, len(refused.What))
		}
		if err == nil {
			parsing.Lock()
			list, err := tokens(text)
			parsing.Unlock()
			if name := plainly(list); err != nil || name != "" {
				t.Errorf("%q calls %s and is allowed (%v)", text, name, err)
			}
		}
	})
}
