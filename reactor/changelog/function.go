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
//     object, which no real column gives, so the key column is absent, and which
//     differs between old and new, so in masks it counts as changed.
//   - Values are compared as record images, rows paired by their text: no
//     operator or cast of a user's type is called, json included (C8).
//   - There is no EXCEPTION block (C12).
//
// Every name and operator in it is qualified. A pinned search_path would do the
// same for a quarter of the writer's cost: the server forgets what it knows of
// the path at each call. Settings that the text of values depends on are pinned
// where a watched column needs them (C9).
func (f *family) function(watched []int16, kinds map[int16]reactor.Kind) string {
	return fmt.Sprintf("create or replace function %s() returns trigger\nlanguage plpgsql security definer %s as $weir$\n%s$weir$",
		f.functionName(), settings(watched, kinds), f.body(watched, kinds))
}

// settings returns the SET clauses of the function, "" for most.
func settings(watched []int16, kinds map[int16]reactor.Kind) string {
	var times, bytes string
	for _, num := range watched {
		switch kinds[num] {
		case reactor.KindDate, reactor.KindTimestamp, reactor.KindInstant:
			times = "set TimeZone = 'UTC' set DateStyle = 'ISO' "
		case reactor.KindBytes:
			bytes = "set bytea_output = 'hex' "
		}
	}
	return times + bytes
}

// body returns the function's text between the dollar quotes. The settings stand
// in it too: it is compared to see whether the function is current.
func (f *family) body(watched []int16, kinds map[int16]reactor.Kind) string {
	return fmt.Sprintf(`#variable_conflict use_column
-- %s
declare
	weir_slot pg_catalog.int2; weir_count pg_catalog.int8; weir_size pg_catalog.int4; weir_many pg_catalog.bool;
	weir_mask pg_catalog.int2[]; weir_keys pg_catalog.jsonb; weir_width pg_catalog.int2;
begin
	-- Nobody listens: cost nothing. now() is when the transaction began, so a
	-- snapshot that is older than the reader's last mark cannot deceive.
	select r.slot into weir_slot from weir.reader r
		where r.seen_at operator(pg_catalog.>) (pg_catalog.now() operator(pg_catalog.-) r.retention);
	if not found then return null; end if;
	if tg_op operator(pg_catalog.=) 'INSERT' then%s
	elsif tg_op operator(pg_catalog.=) 'UPDATE' then%s
	elsif tg_op operator(pg_catalog.=) 'DELETE' then%s
	end if;
	insert into weir.log (slot, rel, op, mask, keys)
		values (weir_slot, %d, cast(pg_catalog."left"(tg_op, 1) as pg_catalog."char"), weir_mask, weir_keys);
	return null;
end
`, settings(watched, kinds), f.single(watched, "weir_new"), f.update(watched), f.single(watched, "weir_old"), f.root)
}

// single returns the statements of an insert or delete. One row, the common
// case, is one statement without aggregates: those cost the writer more than all
// the rest. They leave the function if there is no row.
func (f *family) single(watched []int16, table string) string {
	names, object := f.object(watched, "l")
	if object == "" {
		return fmt.Sprintf(`
		if not exists (select from %s) then return null; end if;`, table)
	}
	return fmt.Sprintf(`
		select pg_catalog.jsonb_build_array(%s), exists (select from %s offset 1)
			into weir_keys, weir_many from %s limit 1;
		if not found then return null; end if;
		if weir_many then%s
		elsif pg_catalog.pg_column_size(weir_keys) operator(pg_catalog.>) %d then
			weir_keys := null;
		end if;`, object, table, f.source(table, names, 0), f.rows(watched, table), maxTupleBytes)
}

// rows returns the statements that fill keys from transition tables of any size.
func (f *family) rows(watched []int16, tables ...string) string {
	var parts []string
	names, object := f.object(watched, "l")
	for i, table := range tables {
		from, what := table, "select"
		if object != "" {
			from, what = f.source(table, names, i), "select "+object+" as k"
		}
		parts = append(parts, fmt.Sprintf("(%s from %s limit %d)", what, from, maxKeyRows+1))
	}
	if object == "" {
		return ""
	}
	return fmt.Sprintf(`
		select pg_catalog.count(*), pg_catalog.max(pg_catalog.pg_column_size(t.k)), pg_catalog.jsonb_agg(t.k)
			into weir_count, weir_size, weir_keys from (%s) t;
		if weir_count operator(pg_catalog.>) %d or weir_size operator(pg_catalog.>) %d then
			weir_keys := null;
		elsif weir_count operator(pg_catalog.>) 1 then
			select pg_catalog.jsonb_agg(distinct x.e) into weir_keys from pg_catalog.jsonb_array_elements(weir_keys) x(e);
		end if;`, strings.Join(parts, "\n\t\t\tunion all "), len(tables)*maxKeyRows, maxTupleBytes)
}

// object returns the expression of a row's tuple: watched columns of alias by
// number, and the columns' names. Without columns it is empty.
func (f *family) object(watched []int16, alias string) (names []string, expr string) {
	var fields []string
	for _, num := range watched {
		c, ok := f.column(num)
		if !ok || c.virtual {
			continue // absent matches everything (C7)
		}
		value := fmt.Sprintf("%s.c%d", alias, num)
		fields = append(fields, fmt.Sprintf(
			`'%d', case when pg_catalog.pg_column_size(%s) operator(pg_catalog.>) %d then cast('{}' as pg_catalog.jsonb) else pg_catalog.to_jsonb(%s) end`,
			num, value, maxValueBytes, value))
		names = append(names, c.name)
	}
	// A function takes at most 100 arguments.
	var objects []string
	for chunk := range slices.Chunk(fields, 50) {
		objects = append(objects, "pg_catalog.jsonb_build_object("+strings.Join(chunk, ", ")+")")
	}
	return names, strings.Join(objects, " operator(pg_catalog.||) ")
}

// source returns FROM items that give the named columns as l.c<number>, robust
// to dropped and renamed ones. Different sides have different stand-ins.
func (f *family) source(table string, names []string, side int) string {
	var stand, cols []string
	for _, c := range f.columns {
		if !slices.Contains(names, c.name) {
			continue
		}
		name := quote(c.name)
		stand = append(stand, fmt.Sprintf(`cast('{"gone": %d}' as pg_catalog.jsonb) as %s`, side, name))
		cols = append(cols, fmt.Sprintf("%s as c%d", name, c.num))
	}
	return fmt.Sprintf("(select %s) weir_gone, %s weir_row, lateral (select %s from (select weir_row.*) weir_cols) l",
		strings.Join(stand, ", "), table, strings.Join(cols, ", "))
}

// update returns the statements of an update. A mask that is left NULL means
// that all columns changed.
//
// Any one-to-one pairing of old and new rows gives a right mask: the rows outside
// of it have equal values in the columns that it leaves out. One row pairs by
// itself. More are paired by an immediate primary key, in a full join because
// that cannot become a nested loop; if it is not one-to-one, all changed.
func (f *family) update(watched []int16) string {
	keys := f.rows(watched, "weir_old", "weir_new")
	empty := `
		if not exists (select from weir_new) then return null; end if;`
	if len(f.columns) > maxMasked || f.inherited() {
		return empty + keys
	}
	var names, single, many []string
	for _, c := range f.columns {
		if c.virtual { // follows columns that it does not name: always changed
			single = append(single, fmt.Sprintf("cast(%d as pg_catalog.int2)", c.num))
			many = append(many, fmt.Sprintf("cast(%d as pg_catalog.int2)", c.num))
			continue
		}
		names = append(names, c.name)
		differs := fmt.Sprintf("cast(row(o.c%d) as pg_catalog.record) operator(pg_catalog.*<>) cast(row(n.c%d) as pg_catalog.record)", c.num, c.num)
		single = append(single, fmt.Sprintf("case when %s then cast(%d as pg_catalog.int2) end", differs, c.num))
		many = append(many, fmt.Sprintf("case when pg_catalog.bool_or(%s) then cast(%d as pg_catalog.int2) end", differs, c.num))
	}
	if len(names) == 0 {
		return empty + keys
	}
	before := fmt.Sprintf("(select l.* from %s) o", f.source("weir_old", names, 0))
	after := fmt.Sprintf("(select l.* from %s) n", f.source("weir_new", names, 1))
	tuple := "cast(null as pg_catalog.jsonb)"
	if _, old := f.object(watched, "o"); old != "" {
		_, new := f.object(watched, "n")
		tuple = fmt.Sprintf("pg_catalog.jsonb_build_array(%s, %s)", old, new)
	}
	pairs := ""
	if key := f.keyText(); len(key) > 0 {
		pairs = fmt.Sprintf(`
			if weir_width is not null and weir_count operator(pg_catalog.<=) %d then
				select case when pg_catalog.count(o) operator(pg_catalog.=) weir_count and pg_catalog.count(n) operator(pg_catalog.=) weir_count
						and pg_catalog.count(*) operator(pg_catalog.=) weir_count
					then pg_catalog.array_remove(array[%s], null) end into weir_mask
					from %s full join %s
					on cast(row(%s) as pg_catalog.text) collate pg_catalog."C" operator(pg_catalog.=) cast(row(%s) as pg_catalog.text) collate pg_catalog."C";
				if weir_mask operator(pg_catalog.=) cast('{}' as pg_catalog.int2[]) then return null; end if;
			end if;`, maxKeyRows, strings.Join(many, ", "), before, after,
			strings.Join(prefixed("o.", key), ", "), strings.Join(prefixed("n.", key), ", "))
	}
	return fmt.Sprintf(`
		-- The next free column number; if it is taken, there are columns that this
		-- function does not know, and all count as changed.
		weir_width := case%s end;
		if pg_catalog.has_column_privilege(tg_relid, weir_width, 'SELECT') is not null then weir_width := null; end if;
		select pg_catalog.array_remove(array[%s], null), %s, exists (select from weir_new offset 1)
			into weir_mask, weir_keys, weir_many from %s, %s limit 1;
		if not found then return null; end if;
		if not weir_many then
			if weir_width is null then
				weir_mask := null;
			elsif weir_mask operator(pg_catalog.=) cast('{}' as pg_catalog.int2[]) then
				return null;
			end if;
			if pg_catalog.pg_column_size(weir_keys) operator(pg_catalog.>) %d then weir_keys := null; end if;
		else
			weir_mask := null;
			select pg_catalog.count(*) into weir_count from (select from weir_new limit %d) t;%s%s
		end if;`, f.widths(), strings.Join(single, ", "), tuple, before, after, 2*maxTupleBytes, maxKeyRows+1, pairs, keys)
}

// widths maps each member to its next free column number. A table that is not
// listed has columns that this function does not know.
func (f *family) widths() string {
	var b strings.Builder
	for _, m := range f.members {
		if m.columns == len(f.columns) {
			fmt.Fprintf(&b, " when tg_relid operator(pg_catalog.=) %d then cast(%d as pg_catalog.int2)", m.oid, m.width+1)
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
