package changelog

import (
	"fmt"
	"slices"
	"strings"

	"weir/reactor"
)

// Bounds of one log row (C3, C9).
const (
	maxKeyRows    = 200   // more rows in a statement: the whole table
	maxValueBytes = 256   // a larger value matches everything
	maxTupleBytes = 16384 // one larger tuple: the whole table
	maxMasked     = 400   // more columns: every update changes all of them
)

// function returns the statement that makes the trigger function of a family
// for the watched columns.
//
// It never fails the writer's statement, whatever DDL came after it was made
// and whatever types the columns have:
//   - Columns are named only inside a lateral subquery. A column that is gone or
//     renamed falls through to a stand-in of the same name one level up: an
//     object, which no real column gives, so the key column is absent, and in
//     masks an object that differs between old and new, so it counts as changed.
//   - Values are compared as record images, rows paired by their text: no
//     operator or cast of a user's type is called, json included (C8).
//   - There is no EXCEPTION block (C12).
//
// A column that was added since is noticed by asking for the privilege on the
// next column number, which is NULL while there is none: then the mask is NULL.
func (f *family) function(watched []int16, kinds map[int16]reactor.Kind) string {
	var b strings.Builder
	pinned := f.settings(watched, kinds)
	// The body names the settings too: it is compared to see whether it is current.
	fmt.Fprintf(&b, "create or replace function %s() returns trigger\nlanguage plpgsql security definer %s as $weir$\n%s$weir$",
		f.functionName(), pinned, f.body(watched, kinds))
	return b.String()
}

// settings are those that the text of values depends on (C9).
func (f *family) settings(watched []int16, kinds map[int16]reactor.Kind) string {
	pinned := "set search_path = pg_catalog, pg_temp"
	for _, num := range watched {
		switch kinds[num] { // C9: only what the watched columns need, each costs the writer a microsecond
		case reactor.KindDate, reactor.KindTimestamp, reactor.KindInstant:
			pinned = addSetting(pinned, "TimeZone = 'UTC'", "DateStyle = 'ISO'")
		case reactor.KindBytes:
			pinned = addSetting(pinned, "bytea_output = 'hex'")
		}
	}
	return pinned
}

func addSetting(pinned string, settings ...string) string {
	for _, s := range settings {
		if !strings.Contains(pinned, s) {
			pinned += " set " + s
		}
	}
	return pinned
}

// body returns the function's text between the dollar quotes.
func (f *family) body(watched []int16, kinds map[int16]reactor.Kind) string {
	keysNew, keysOld := f.tuples("weir_new", watched), f.tuples("weir_old", watched)
	return fmt.Sprintf(`#variable_conflict use_column
-- %[7]s
declare
	weir_slot int2; weir_count int; weir_mask int2[]; weir_keys jsonb; weir_width int2;
begin
	-- Nobody listens: cost nothing. now() is when the transaction began, so a
	-- snapshot that is older than the reader's last mark cannot deceive.
	select r.slot into weir_slot from weir.reader r where r.seen_at > now() - r.retention;
	if not found then return null; end if;
	if tg_op = 'INSERT' then
		select count(*) into weir_count from (select from weir_new limit %[1]d) x;
		if weir_count = 0 then return null; end if;
		if weir_count < %[1]d then%[2]s
		end if;
	elsif tg_op = 'DELETE' then
		select count(*) into weir_count from (select from weir_old limit %[1]d) x;
		if weir_count = 0 then return null; end if;
		if weir_count < %[1]d then%[3]s
		end if;
	elsif tg_op = 'UPDATE' then
		select count(*) into weir_count from (select from weir_new limit %[1]d) x;
		if weir_count = 0 then return null; end if;
		if weir_count < %[1]d then%[4]s%[5]s
		end if;
	end if;
	insert into weir.log (slot, rel, op, mask, keys)
		values (weir_slot, %[6]d, left(tg_op, 1)::"char", weir_mask, weir_keys);
	return null;
end
`, maxKeyRows+1, keysInto(keysNew), keysInto(keysOld), f.maskInto(), keysInto(joinAll(keysOld, keysNew)), f.root, f.settings(watched, kinds))
}

func joinAll(a, b string) string {
	if a == "" {
		return ""
	}
	return a + "\n\t\t\tunion all " + b
}

// keysInto returns the statement that fills keys. jsonb's distinct leaves equal
// tuples once, so that a counter on one row stays one tuple.
func keysInto(tuples string) string {
	if tuples == "" {
		return "\n\t\t\tnull;"
	}
	return fmt.Sprintf(`
			select case when max(pg_column_size(k)) <= %d then jsonb_agg(distinct k) end into weir_keys from (
			%s) t;`, maxTupleBytes, tuples)
}

// tuples returns a query of one object per row: watched columns by number.
func (f *family) tuples(from string, watched []int16) string {
	var fields, names []string
	for _, num := range watched {
		c, ok := f.column(num)
		if !ok || c.virtual {
			continue // absent matches everything (C7)
		}
		fields = append(fields, fmt.Sprintf(`'%d', case when pg_column_size(l.c%d) > %d then '{}' else to_jsonb(l.c%d) end`,
			num, num, maxValueBytes, num))
		names = append(names, c.name)
	}
	if len(fields) == 0 {
		return ""
	}
	// A function takes at most 100 arguments.
	var objects []string
	for chunk := range slices.Chunk(fields, 50) {
		objects = append(objects, "jsonb_build_object("+strings.Join(chunk, ", ")+")")
	}
	return fmt.Sprintf("select %s as k from %s", strings.Join(objects, " || "), f.source(from, names, "{}"))
}

// source returns FROM items that give the named columns as l.c<number>, robust
// to dropped and renamed ones.
func (f *family) source(from string, names []string, missing string) string {
	var stand, cols []string
	for _, c := range f.columns {
		if !slices.Contains(names, c.name) {
			continue
		}
		name := quote(c.name)
		stand = append(stand, fmt.Sprintf("'%s'::jsonb as %s", missing, name))
		cols = append(cols, fmt.Sprintf("%s as c%d", name, c.num))
	}
	return fmt.Sprintf("(select %s) weir_gone, %s weir_row, lateral (select %s from (select weir_row.*) weir_cols) l",
		strings.Join(stand, ", "), from, strings.Join(cols, ", "))
}

// maskInto returns the statements that fill mask, and leave the function when
// nothing changed. Left NULL, all columns count as changed.
func (f *family) maskInto() string {
	if len(f.columns) > maxMasked || f.inherited() {
		return ""
	}
	var names, single, many []string
	for _, c := range f.columns {
		if c.virtual { // follows columns that it does not name: always changed
			single = append(single, fmt.Sprintf("%d::int2", c.num))
			many = append(many, fmt.Sprintf("%d::int2", c.num))
			continue
		}
		names = append(names, c.name)
		differs := fmt.Sprintf("row(o.c%d)::record *<> row(n.c%d)::record", c.num, c.num)
		single = append(single, fmt.Sprintf("case when %s then %d::int2 end", differs, c.num))
		many = append(many, fmt.Sprintf("case when bool_or(%s) then %d::int2 end", differs, c.num))
	}
	if len(names) == 0 {
		return ""
	}
	// Old and new stand-ins differ: a column that is gone counts as changed.
	before := fmt.Sprintf("(select l.* from %s) o", f.source("weir_old", names, `{"old": 1}`))
	after := fmt.Sprintf("(select l.* from %s) n", f.source("weir_new", names, `{"new": 1}`))
	pairs := "\n\t\t\t\tend if;"
	if key := f.keyText(); len(key) > 0 {
		// Any one-to-one pairing is right; one by an immediate primary key is
		// also narrow. A full join cannot become a nested loop.
		pairs = fmt.Sprintf(`
				else
					select case when count(o) = weir_count and count(n) = weir_count and count(*) = weir_count
						then array_remove(array[%s], null) end into weir_mask
						from %s full join %s
						on row(%s)::text collate "C" = row(%s)::text collate "C";
				end if;`, strings.Join(many, ", "), before, after,
			strings.Join(prefixed("o.", key), ", "), strings.Join(prefixed("n.", key), ", "))
	}
	return fmt.Sprintf(`
			weir_width := case tg_relid %s end;
			if has_column_privilege(tg_relid, weir_width, 'SELECT') is null and weir_width is not null then
				if weir_count = 1 then
					select array_remove(array[%s], null) into weir_mask from %s, %s;%s
				if weir_mask = '{}' then return null; end if;
			end if;`, f.widths(), strings.Join(single, ", "), before, after, pairs)
}

// widths maps each member to its next free column number. A table that is not
// listed, or grew, has columns that this function does not know.
func (f *family) widths() string {
	var b strings.Builder
	for _, m := range f.members {
		if m.columns == len(f.columns) {
			fmt.Fprintf(&b, "when %d::oid then %d::int2 ", m.oid, m.width+1)
		}
	}
	return b.String()
}

// keyText returns the aliases of the key's columns.
func (f *family) keyText() []string {
	var aliases []string
	for _, c := range f.columns {
		if slices.Contains(f.key, c.name) {
			aliases = append(aliases, fmt.Sprintf("c%d", c.num))
		}
	}
	return aliases
}

func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}
