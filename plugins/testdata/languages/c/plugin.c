/* The sample in C: what the samples beside it say in their languages, with equal
 * manifests, results and errors. */
#include "../../../c/weir.h"

enum { LIST, READ, NESTED, BOXES, READER, BANS, INSERT, REMOVE };

static const weir_nested in_boxes[] = {{"notes", "id", NESTED, "box"}, {0}};

static const weir_statement statements[] = {
    [LIST] = {"select id, title, price from notes where box = $box {and title = $title} {and id < $before} order by id desc limit $limit", .key = "id"},
    [READ] = {"select id, title, image, price, at, score, done, tags, meta from notes where box = $box order by id"},
    [NESTED] = {"select box, title from notes where box = any($boxes) order by box, id"},
    [BOXES] = {"select id, name from boxes order by id", .key = "id", .nest = in_boxes},
    [READER] = {"select 1 from readers where box = $box and user_id = $me"},
    [BANS] = {"select banned from readers where box = $box and user_id = $me"},
    [INSERT] = {"insert into notes (id, box, title, price, image, at) values ($id, $box, $title, $price, $image, $at) returning id, title, price"},
    [REMOVE] = {"delete from notes where box = $box"},
};

/* Rows and results. */

static const weir_schema text = {WEIR_STRING}, integer = {WEIR_INTEGER}, boolean = {WEIR_BOOLEAN};
static const weir_schema maybe_text = {WEIR_STRING, .optional = true};

static const weir_field short_fields[] = {
    {"id", {WEIR_INTEGER}}, {"title", {WEIR_STRING}}, {"price", {WEIR_DECIMAL, .optional = true}}, {0}};
static const weir_schema a_short = {WEIR_OBJECT(short_fields)}, shorts = {WEIR_LIST(&a_short)};

static const weir_field note_fields[] = {
    {"id", {WEIR_INTEGER}},
    {"title", {WEIR_STRING}},
    {"image", {WEIR_BYTES, .optional = true}},
    {"price", {WEIR_DECIMAL, .optional = true}},
    {"at", {WEIR_TIME, .optional = true}},
    {"score", {WEIR_NUMBER, .optional = true}},
    {"done", {WEIR_BOOLEAN, .optional = true}},
    {"tags", {WEIR_LIST(&text), .optional = true}},
    {"meta", {WEIR_JSON, .optional = true}},
    {0}};
static const weir_schema note = {WEIR_OBJECT(note_fields)}, notes = {WEIR_LIST(&note)};

static const weir_field nested_fields[] = {{"box", {WEIR_INTEGER}}, {"title", {WEIR_STRING}}, {0}};
static const weir_schema a_nested = {WEIR_OBJECT(nested_fields)};
static const weir_field box_fields[] = {
    {"id", {WEIR_INTEGER}}, {"name", {WEIR_STRING}}, {"notes", {WEIR_LIST(&a_nested)}}, {0}};
static const weir_schema box = {WEIR_OBJECT(box_fields)}, boxes = {WEIR_LIST(&box)};

static const weir_field summary_fields[] = {
    {"count", {WEIR_INTEGER}},
    {"largest", {WEIR_INTEGER, .optional = true}},
    {"letters", {WEIR_INTEGER}},
    {"score", {WEIR_NUMBER}},
    {"titles", {WEIR_LIST(&text)}},
    {0}};
static const weir_schema a_summary = {WEIR_OBJECT(summary_fields)};

static const weir_field scoped_fields[] = {{"seen", {WEIR_STRING}}, {"inside", {WEIR_INTEGER}}, {0}};
static const weir_schema a_scoped = {WEIR_OBJECT(scoped_fields)};

/* Inputs. */

static const weir_field box_args[] = {{"box", {WEIR_INTEGER}}, {0}};
static const weir_field list_args[] = {
    {"box", {WEIR_INTEGER}},
    {"title", {WEIR_STRING, .optional = true, .doc = "only what is called that"}},
    {"before", {WEIR_INTEGER, .optional = true}},
    {"limit", {WEIR_INTEGER, WEIR_MIN(1), WEIR_MAX(100), WEIR_ABSENT_INT(10)}},
    {0}};
static const weir_field reader_args[] = {{"box", {WEIR_INTEGER}}, {"me", {WEIR_STRING}, WEIR_CLAIM("sub")}, {0}};
static const weir_field open_args[] = {
    {"box", {WEIR_INTEGER}},
    {"me", {WEIR_STRING}, WEIR_CLAIM("sub")},
    {"action", {WEIR_STRING}, WEIR_ACTION},
    {"function", {WEIR_STRING}, WEIR_GUARDED},
    {0}};
static const weir_field scoped_args[] = {
    {"box", {WEIR_INTEGER}}, {"seen", {WEIR_STRING}, WEIR_SCOPE}, {"inside", {WEIR_INTEGER}, WEIR_SCOPE}, {0}};
static const weir_field add_args[] = {
    {"id", {WEIR_INTEGER}},
    {"box", {WEIR_INTEGER}},
    {"title", {WEIR_STRING, WEIR_MAX_LEN(40)}},
    {"price", {WEIR_DECIMAL, .optional = true}},
    {"image", {WEIR_BYTES, .optional = true}},
    {"at", {WEIR_TIME, .optional = true}},
    {0}};
static const weir_field fail_args[] = {{"how", {WEIR_STRING}}, {0}};
static const weir_field key_args[] = {{"key", {WEIR_STRING}}, {0}};

static const weir_field point_fields[] = {{"x", {WEIR_INTEGER}}, {"label", {WEIR_STRING, .optional = true}}, {0}};
static const weir_schema point = {WEIR_OBJECT(point_fields)};
static const weir_field echo_args[] = {
    {"i", {WEIR_INTEGER}},
    {"n", {WEIR_INTEGER32}},
    {"f", {WEIR_NUMBER}},
    {"b", {WEIR_BOOLEAN}},
    {"s", {WEIR_STRING}},
    {"y", {WEIR_BYTES}},
    {"at", {WEIR_TIME}},
    {"d", {WEIR_DATE}},
    {"u", {WEIR_UUID}},
    {"p", {WEIR_DECIMAL}},
    {"j", {WEIR_JSON}},
    {"e", {WEIR_STRING, WEIR_ONE_OF("up", "down")}},
    {"o", {WEIR_STRING, .optional = true, WEIR_MIN_LEN(1), WEIR_MAX_LEN(3)}},
    {"six", {WEIR_INTEGER, WEIR_ABSENT_INT(6)}},
    {"half", {WEIR_NUMBER, WEIR_MIN(-1), WEIR_ABSENT_NUMBER(0.5)}},
    {"list", {WEIR_LIST(&point), WEIR_MAX_LEN(4)}},
    {"nums", {WEIR_LIST(&integer)}},
    {0}};
static const weir_schema echoed = {WEIR_OBJECT(echo_args)};

/* Functions. */

static weir_rows read_notes(void) {
    weir_out *a = weir_arguments();
    weir_put_arg(a, "box");
    return weir_query(READ, a);
}

/* put_column writes a column as it came. */
static void put_column(weir_out *w, weir_reader *row) {
    const uint8_t *from = row->at;
    weir_skip(row);
    weir_put_item(w, from, (uint32_t)(row->at - from));
}

/* put_row writes a row as an object of these fields. */
static void put_row(weir_out *w, weir_cursor *k, const weir_field *fields) {
    weir_begin_map(w);
    for (uint32_t i = 0; i < k->columns; i++) {
        weir_key(w, fields[i].name);
        put_column(w, &k->row);
    }
    weir_end(w);
}

static weir_reply all(void) {
    weir_out *w = weir_result();
    weir_begin_array(w);
    for (weir_cursor k = weir_each(read_notes()); weir_next(&k);) put_row(w, &k, note_fields);
    weir_end(w);
    return weir_value(w);
}

static weir_reply summary(void) {
    int64_t count = 0, largest = 0, letters = 0;
    double score = 0;
    weir_out *titles = weir_new_out(), *w = weir_result();
    weir_begin_array(titles);
    for (weir_cursor k = weir_each(read_notes()); weir_next(&k); count++) {
        int64_t id = weir_read_int(&k.row);
        if (count == 0 || id > largest) largest = id;
        weir_text title = weir_read_text(&k.row);
        letters += title.len;
        weir_put_text(titles, title);
        for (int i = 0; i < 3; i++) weir_skip(&k.row); /* image, price, at */
        if (!weir_read_null(&k.row)) score += weir_read_float(&k.row);
    }
    weir_end(titles);
    weir_begin_map(w);
    weir_key(w, "count");
    weir_put_int(w, count);
    weir_key(w, "largest");
    if (count > 0) weir_put_int(w, largest);
    else weir_put_null(w);
    weir_key(w, "letters");
    weir_put_int(w, letters);
    weir_key(w, "score");
    weir_put_float(w, score);
    weir_key(w, "titles");
    weir_put_item(w, titles->at, titles->len);
    weir_end(w);
    return weir_value(w);
}

/* odd passes the notes with an odd number on, the last one first, unread. */
static weir_reply odd(void) {
    weir_rows rows = read_notes();
    uint32_t n = weir_count(rows), *picked = weir_alloc(n * sizeof *picked), at = n, index = 0;
    for (weir_cursor k = weir_each(rows); weir_next(&k); index++) {
        if (weir_read_int(&k.row) % 2 != 0) picked[--at] = index;
    }
    return weir_rows_result(weir_pick(rows, picked + at, n - at));
}

/* passed passes rows on that it never looked at. */
static weir_reply passed(void) { return weir_rows_result(read_notes()); }

static weir_reply open(void) {
    weir_out *a = weir_arguments();
    weir_put_arg(a, "box");
    weir_put_arg(a, "me");
    weir_cursor k = weir_each(weir_query(BANS, a));
    if (!weir_next(&k)) return weir_deny(weir_str(""));
    weir_text me = weir_arg_text("me");
    if (!weir_read_null(&k.row)) return weir_deny(WEIR_JOIN(me, weir_str(" ist gesperrt: "), weir_read_text(&k.row)));
    weir_scope_text("seen", WEIR_JOIN(me, weir_str("/"), weir_arg_text("action"), weir_str("/"), weir_arg_text("function")));
    weir_scope_int("inside", weir_arg_int("box"));
    weir_until(weir_now() + 3600 * INT64_C(1000000));
    return weir_allow();
}

static weir_reply scoped(void) {
    weir_out *w = weir_result();
    weir_begin_map(w);
    weir_key(w, "seen");
    weir_put_arg(w, "seen");
    weir_key(w, "inside");
    weir_put_arg(w, "inside");
    weir_end(w);
    return weir_value(w);
}

/* put_points writes the list of points, which come as arrays, as objects. */
static void put_points(weir_out *w) {
    weir_reader list = weir_arg("list");
    weir_begin_array(w);
    for (uint32_t n = weir_read_array(&list); n > 0; n--) {
        weir_read_array(&list);
        weir_begin_map(w);
        for (const weir_field *f = point_fields; f->name != NULL; f++) {
            weir_key(w, f->name);
            put_column(w, &list);
        }
        weir_end(w);
    }
    weir_end(w);
}

static weir_reply echo(void) {
    weir_out *w = weir_result();
    weir_begin_map(w);
    for (const weir_field *f = echo_args; f->name != NULL; f++) {
        weir_key(w, f->name);
        if (weir_same(weir_str(f->name), weir_str("list"))) put_points(w);
        else weir_put_arg(w, f->name);
    }
    weir_end(w);
    return weir_value(w);
}

static weir_reply add(void) {
    weir_text title = weir_arg_text("title");
    for (; title.len > 0 && *title.at == ' '; title.at++) title.len--;
    while (title.len > 0 && title.at[title.len - 1] == ' ') title.len--;
    if (title.len == 0) return weir_fail("empty", "schreib erst etwas: „Hallo“");
    weir_out *a = weir_arguments(), *w = weir_result();
    weir_put_arg(a, "id");
    weir_put_arg(a, "box");
    weir_put_text(a, title);
    weir_put_arg(a, "price");
    weir_put_arg(a, "image");
    weir_put_arg(a, "at");
    weir_cursor k = weir_each(weir_exec(INSERT, a));
    if (weir_next(&k)) put_row(w, &k, short_fields);
    return weir_value(w);
}

static weir_reply clear(void) {
    weir_out *a = weir_arguments(), *w = weir_result();
    weir_put_arg(a, "box");
    weir_put_int(w, weir_affected(weir_exec(REMOVE, a)));
    return weir_value(w);
}

static weir_reply fails(void) {
    weir_text how = weir_arg_text("how");
    if (weir_same(how, weir_str("public"))) return weir_fail("teapot", "kurz und stämmig");
    if (weir_same(how, weir_str("retry"))) return weir_failure(weir_str("busy"), weir_str("later"), true, true);
    if (weir_same(how, weir_str("internal"))) return weir_internal("for the log only");
    return weir_nothing();
}

static weir_reply setting(void) {
    weir_text value;
    weir_out *w = weir_result();
    if (weir_config(weir_arg_text("key"), &value)) weir_put_text(w, value);
    else weir_put_null(w);
    return weir_value(w);
}

static weir_reply later(void) {
    weir_out *w = weir_result();
    weir_log(WEIR_INFO, weir_str("läuft"));
    weir_wake_at(weir_now() + 3600 * INT64_C(1000000));
    weir_put_bool(w, weir_now() > 1609459200 * INT64_C(1000000));
    return weir_value(w);
}

static const weir_function functions[] = {
    {"boxes.list", WEIR_QUERY, .statement = BOXES, .public = true, .result = &boxes},
    {"clock.later", WEIR_QUERY, .run = later, .public = true, .result = &boolean},
    {"config.get", WEIR_QUERY, key_args, .run = setting, .public = true, .result = &maybe_text},
    {"fail.how", WEIR_QUERY, fail_args, .run = fails, .public = true},
    {"notes.add", WEIR_MUTATION, add_args, .run = add, WEIR_USES(INSERT), .require = "reader", .result = &a_short},
    {"notes.all", WEIR_QUERY, box_args, .run = all, WEIR_USES(READ), .require = "reader", .result = &notes},
    {"notes.clear", WEIR_MUTATION, box_args, .run = clear, WEIR_USES(REMOVE), .signed_in = true, .result = &integer},
    {"notes.list", WEIR_QUERY, list_args, .statement = LIST, .require = "reader", .result = &shorts, .doc = "The newest notes of a box."},
    {"notes.odd", WEIR_QUERY, box_args, .run = odd, WEIR_USES(READ), .require = "reader", .result = &notes},
    {"notes.passed", WEIR_QUERY, box_args, .run = passed, WEIR_USES(READ), .require = "reader", .result = &notes},
    {"notes.scoped", WEIR_QUERY, scoped_args, .run = scoped, .require = "open", .result = &a_scoped},
    {"notes.summary", WEIR_QUERY, box_args, .run = summary, WEIR_USES(READ), .require = "reader", .result = &a_summary},
    {"open", WEIR_POLICY, open_args, .run = open, WEIR_USES(BANS)},
    {"reader", WEIR_POLICY, reader_args, .statement = READER},
    {"values.echo", WEIR_QUERY, echo_args, .run = echo, .public = true, .result = &echoed},
};

WEIR_PLUGIN("sample", "1.0.0", statements, functions)
