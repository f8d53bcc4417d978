package changelog

import (
	"cmp"
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
	maxFlat       = 60    // more values in a one-row statement: logged like those of many
)

// function returns the statement that makes a trigger function of a family for
// the watched columns.
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
func (f *family) function(k triggerKind, watched []int16, kinds map[int16]reactor.Kind) string {
	return fmt.Sprintf("create or replace function %s() returns trigger\nlanguage plpgsql security definer %s as $weir$\n%s$weir$",
		f.functionName(k), settings(watched, kinds), f.body(k, watched, kinds))
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

// The two things that writers take from the sequence weir.mark, which costs them
// no run of the executor: whether a reader was there when the transaction began,
// and the partition to write. See schema.sql.
const (
	markExpr = `pg_catalog.pg_sequence_last_value(cast('weir.mark' as pg_catalog.regclass))`
	liveExpr = markExpr + ` operator(pg_catalog.>) (pg_catalog.date_part('epoch', pg_catalog.now()) operator(pg_catalog.*) 4000)`
	slotExpr = markExpr + ` operator(pg_catalog.%) 4`
)

// body returns the function's text between the dollar quotes. The settings stand
// in it too: it is compared to see whether the function is current.
//
// What the common case pays for is counted: a statement that writes one row runs
// the executor once, and each further expression that plpgsql evaluates by
// itself costs it a twentieth of that. Hence a function for each operation, and
// "return new", a null that is no expression.
func (f *family) body(k triggerKind, watched []int16, kinds map[int16]reactor.Kind) string {
	var work string
	switch k.op {
	case 'I':
		work = f.single(k, watched, "weir_new")
	case 'U':
		work = f.update(k, watched)
	case 'D':
		work = f.single(k, watched, "weir_old")
	default:
		work = f.log(k, "null", "null")
	}
	return fmt.Sprintf(`#variable_conflict use_column
-- %s
declare
	weir_count pg_catalog.int8; weir_size pg_catalog.int4; weir_width pg_catalog.int2;
	weir_mask pg_catalog.int2[]; weir_keys pg_catalog.jsonb;
begin
	if %s then%s
	end if;
	return new;
end
`, settings(watched, kinds), liveExpr, work)
}

// log returns the statements that write the log row from one of plpgsql's rows.
func (f *family) log(k triggerKind, mask, keys string) string {
	return f.file(k, ", mask, keys", ", "+mask+", "+keys)
}

// logOne returns the statements that write the log row of a statement that wrote
// one row, and leave the function then. Aggregates would cost the writer more
// than all the rest.
func (f *family) logOne(k triggerKind, mask, cols, keys, from, table string) string {
	return f.file(k, ", mask, cols, keys", fmt.Sprintf(", %s, %s, %s from %s\n\t\t\t\twhere not exists (select from %s offset 1)",
		mask, cols, keys, from, table)) + `
		if found then return new; end if;`
}

// file returns the statements that insert what a query selects into the heir of
// weir.log that is written.
func (f *family) file(k triggerKind, columns, query string) string {
	var b strings.Builder
	for slot, head := range []string{"if " + slotExpr + " operator(pg_catalog.=) 0 then", "elsif " + slotExpr + " operator(pg_catalog.=) 1 then", "else"} {
		fmt.Fprintf(&b, `
		%[1]s
			insert into weir.log_%[2]d (slot, rel, op%[3]s) select %[2]d, %[4]d, '%[5]c'%[6]s;`,
			head, slot, columns, f.root, k.op, query)
	}
	return b.String() + `
		end if;`
}

// single returns the statements of an insert or delete.
func (f *family) single(k triggerKind, watched []int16, table string) string {
	names, object := f.object(watched, "l")
	if object == "" {
		return f.file(k, "", fmt.Sprintf(" where exists (select from %s)", table))
	}
	many := f.rows(watched, table) + `
		if weir_count operator(pg_catalog.=) 0 then return new; end if;` + f.log(k, "null", "weir_keys")
	cols, keys := f.flat(watched, "l")
	if keys == "" {
		return many
	}
	return f.logOne(k, "null", cols, keys, f.source(table, names, 0), table) + many
}

// flat returns the expressions of what one-row statements log: the numbers of
// the watched columns, and one array of the values of each alias after another.
// It is empty if there are none, or more than a function has arguments.
func (f *family) flat(watched []int16, aliases ...string) (cols, values string) {
	var nums, args []string
	for _, alias := range aliases {
		for _, num := range watched {
			c, ok := f.column(num)
			if !ok || c.virtual {
				continue // absent matches everything (C7)
			}
			if alias == aliases[0] {
				nums = append(nums, fmt.Sprint(num))
			}
			value := fmt.Sprintf("%s.c%d", alias, num)
			if !c.fixed {
				value = bounded(value)
			}
			args = append(args, value)
		}
	}
	if len(args) == 0 || len(args) > maxFlat {
		return "", ""
	}
	return fmt.Sprintf("cast('{%s}' as pg_catalog.int2[])", strings.Join(nums, ",")),
		"pg_catalog.jsonb_build_array(" + strings.Join(args, ", ") + ")"
}

// bounded returns a value as jsonb, the wildcard if it is large (C9).
func bounded(value string) string {
	return fmt.Sprintf("case when pg_catalog.pg_column_size(%[1]s) operator(pg_catalog.>) %[2]d then cast('{}' as pg_catalog.jsonb) else pg_catalog.to_jsonb(%[1]s) end",
		value, maxValueBytes)
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
		fields = append(fields, fmt.Sprintf("'%d', %s", num, bounded(fmt.Sprintf("%s.c%d", alias, num))))
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
func (f *family) update(k triggerKind, watched []int16) string {
	empty := `
		if not exists (select from weir_new) then return new; end if;`
	keys := f.rows(watched, "weir_old", "weir_new")
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
	if len(f.columns) > maxMasked || f.inherited() || len(names) == 0 {
		return empty + keys + f.log(k, "null", "weir_keys")
	}
	before := fmt.Sprintf("(select l.* from %s) o", f.source("weir_old", names, 0))
	after := fmt.Sprintf("(select l.* from %s) n", f.source("weir_new", names, 1))
	cols, tuples := f.flat(watched, "o", "n")
	one := ""
	if tuples != "" || keys == "" {
		// The next free column number; if it is taken, there are columns that this
		// function does not know, and all count as changed.
		mask := fmt.Sprintf("case when pg_catalog.has_column_privilege(tg_relid, %s, 'SELECT') is null then pg_catalog.array_remove(array[%s], null) end",
			f.width(), strings.Join(single, ", "))
		one = f.logOne(k, mask, cmp.Or(cols, "null"), cmp.Or(tuples, "null"), before+", "+after, "weir_new")
	}
	pairs := ""
	if key := f.keyText(); len(key) > 0 {
		pairs = fmt.Sprintf(`
		weir_width := %s;
		select pg_catalog.count(*) into weir_count from (select from weir_new limit %d) t;
		if weir_count operator(pg_catalog.<=) %d and pg_catalog.has_column_privilege(tg_relid, weir_width, 'SELECT') is null then
			select case when pg_catalog.count(o) operator(pg_catalog.=) weir_count and pg_catalog.count(n) operator(pg_catalog.=) weir_count
					and pg_catalog.count(*) operator(pg_catalog.=) weir_count
				then pg_catalog.array_remove(array[%s], null) end into weir_mask
				from %s full join %s
				on cast(row(%s) as pg_catalog.text) collate pg_catalog."C" operator(pg_catalog.=) cast(row(%s) as pg_catalog.text) collate pg_catalog."C";
			if weir_mask operator(pg_catalog.=) cast('{}' as pg_catalog.int2[]) then return new; end if;
		end if;`, f.width(), maxKeyRows+1, maxKeyRows, strings.Join(many, ", "), before, after,
			strings.Join(prefixed("o.", key), ", "), strings.Join(prefixed("n.", key), ", "))
	}
	return one + empty + pairs + keys + f.log(k, "weir_mask", "weir_keys")
}

// width returns the expression of the next free column number of the table that
// was written. For one that has columns that this function does not know it is
// one that is always taken.
func (f *family) width() string {
	var b strings.Builder
	b.WriteString("case")
	for _, m := range f.members {
		if m.columns == len(f.columns) {
			fmt.Fprintf(&b, " when tg_relid operator(pg_catalog.=) %d then cast(%d as pg_catalog.int2)", m.oid, m.width+1)
		}
	}
	b.WriteString(" else cast(-1 as pg_catalog.int2) end") // a system column
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
