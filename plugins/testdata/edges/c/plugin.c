/* What only Rust and C can say, and what must go wrong: the edges of their SDKs. */
#define WEIR_CAPABILITIES "sql.dynamic"
#include "../../../c/weir.h"

enum { BOXES, NOTES, WIDE };

static const weir_statement statements[] = {
    [BOXES] = {"select id, name from boxes order by id"},
    [NOTES] = {"select id, box, title from notes order by id"},
    [WIDE] = {"select id, body from wide order by id"},
};

static const weir_field anything[] = {{"x", {0}}, {0}};

static weir_reply bad_column(void) { return weir_rows_result(weir_project(weir_query(NOTES, NULL), (uint32_t[]){7}, 1)); }

static weir_reply bad_index(void) { return weir_rows_result(weir_pick(weir_query(NOTES, NULL), (uint32_t[]){99}, 1)); }

static weir_reply bad_memory(void) {
    weir_out *w = weir_result();
    weir_put_bytes(w, (weir_text){weir_alloc(1 << 30), 1 << 30});
    return weir_value(w);
}

static weir_reply bad_panic(void) { weir_panic("this is said: panic"); }

static weir_reply echo(void) {
    weir_out *w = weir_result();
    weir_put_arg(w, "x");
    return weir_value(w);
}

/* rewrite reads an item and writes it anew, so that it becomes deterministic. */
static void rewrite(weir_out *w, weir_reader *r) {
    unsigned first = r->at < r->end ? *r->at : 0xff;
    switch (first >> 5) {
    case 0: weir_put_uint(w, weir_read_uint(r)); return;
    case 1: weir_put_int(w, weir_read_int(r)); return;
    case 2: weir_put_bytes(w, weir_read_bytes(r)); return;
    case 3: weir_put_text(w, weir_read_text(r)); return;
    case 4:
        weir_begin_array(w);
        for (uint32_t n = weir_read_array(r); n > 0; n--) rewrite(w, r);
        weir_end(w);
        return;
    case 5:
        weir_begin_map(w);
        for (uint32_t n = weir_read_map(r); n > 0; n--) {
            weir_put_text(w, weir_read_text(r));
            rewrite(w, r);
        }
        weir_end(w);
        return;
    }
    if (weir_read_null(r)) weir_put_null(w);
    else if ((first & 0xfe) == 0xf4) weir_put_bool(w, weir_read_bool(r));
    else weir_put_float(w, weir_read_float(r));
}

static weir_reply codec(void) {
    weir_reader r = weir_arg("x");
    weir_out *w = weir_result();
    rewrite(w, &r);
    return weir_value(w);
}

static weir_reply draw(void) {
    uint8_t bytes[32];
    weir_random(bytes, 16);
    weir_random(bytes + 16, 16);
    weir_out *w = weir_result();
    weir_begin_map(w);
    weir_key(w, "b");
    weir_put_bytes(w, (weir_text){(char *)bytes + 16, 16});
    weir_key(w, "a");
    weir_put_bytes(w, (weir_text){(char *)bytes, 16});
    weir_end(w);
    return weir_value(w);
}

/* Rows are read while others are. */
static weir_reply inside(void) {
    weir_out *w = weir_result();
    weir_begin_array(w);
    for (weir_cursor b = weir_each(weir_query(BOXES, NULL)); weir_next(&b);) {
        int64_t id = weir_read_int(&b.row), n = 0;
        weir_text name = weir_read_text(&b.row);
        for (weir_cursor k = weir_each(weir_query(NOTES, NULL)); weir_next(&k);) {
            weir_skip(&k.row);
            n += weir_read_int(&k.row) == id;
        }
        weir_put_text(w, WEIR_JOIN(name, weir_str(" "), weir_digits(n)));
    }
    weir_end(w);
    return weir_value(w);
}

static weir_reply nest(void) { return weir_rows_result(weir_nest(weir_query(BOXES, NULL), "notes", weir_query(NOTES, NULL), 0, 1)); }

static weir_reply project(void) {
    weir_rows picked = weir_pick(weir_query(NOTES, NULL), (uint32_t[]){1, 0, 1}, 3);
    return weir_rows_result(weir_project(picked, (uint32_t[]){2, 0}, 2));
}

static weir_reply read_projected(void) {
    weir_out *w = weir_result();
    weir_begin_array(w);
    for (weir_cursor k = weir_each(weir_project(weir_query(NOTES, NULL), (uint32_t[]){2, 0}, 2)); weir_next(&k);) {
        weir_begin_map(w);
        weir_key(w, "title");
        weir_put_text(w, weir_read_text(&k.row));
        weir_key(w, "id");
        weir_put_int(w, weir_read_int(&k.row));
        weir_end(w);
    }
    weir_end(w);
    return weir_value(w);
}

static weir_reply wide(void) {
    int64_t rows = 0, bytes = 0, last = 0;
    for (weir_cursor k = weir_each(weir_query(WIDE, NULL)); weir_next(&k); rows++) {
        last = weir_read_int(&k.row);
        bytes += weir_read_text(&k.row).len;
    }
    weir_out *w = weir_result();
    weir_begin_map(w);
    weir_key(w, "rows");
    weir_put_int(w, rows);
    weir_key(w, "bytes");
    weir_put_int(w, bytes);
    weir_key(w, "last");
    weir_put_int(w, last);
    weir_end(w);
    return weir_value(w);
}

static const weir_field find_args[] = {
    {"table", {WEIR_STRING}}, {"title", {WEIR_STRING, .optional = true}}, {"before", {WEIR_INTEGER}}, {0}};

static weir_rows find(void) {
    weir_text sql = WEIR_JOIN(weir_str("select id from "), weir_arg_text("table"), weir_str(" where id < $before {and title = $title} order by id"));
    weir_out *a = weir_arguments();
    weir_put_arg(a, "before");
    weir_put_arg(a, "title");
    return weir_query_sql(sql, a);
}

static weir_reply passed(void) { return weir_rows_result(find()); }

static weir_reply made(void) {
    weir_out *w = weir_result();
    weir_begin_array(w);
    for (weir_cursor k = weir_each(find()); weir_next(&k);) {
        weir_begin_map(w);
        weir_key(w, "id");
        weir_put_int(w, weir_read_int(&k.row));
        weir_end(w);
    }
    weir_end(w);
    return weir_value(w);
}

static const weir_function functions[] = {
    {"bad.column", WEIR_QUERY, .run = bad_column, WEIR_USES(NOTES), .public = true},
    {"bad.index", WEIR_QUERY, .run = bad_index, WEIR_USES(NOTES), .public = true},
    {"bad.memory", WEIR_QUERY, .run = bad_memory, .public = true},
    {"bad.panic", WEIR_QUERY, anything, .run = bad_panic, .public = true},
    {"codec.echo", WEIR_QUERY, anything, .run = codec, .public = true},
    {"codec.pass", WEIR_QUERY, anything, .run = echo, .public = true},
    {"random.draw", WEIR_QUERY, .run = draw, .public = true},
    {"rows.inside", WEIR_QUERY, .run = inside, WEIR_USES(BOXES, NOTES), .public = true},
    {"rows.nest", WEIR_QUERY, .run = nest, WEIR_USES(BOXES, NOTES), .public = true},
    {"rows.project", WEIR_QUERY, .run = project, WEIR_USES(NOTES), .public = true},
    {"rows.read_projected", WEIR_QUERY, .run = read_projected, WEIR_USES(NOTES), .public = true},
    {"rows.wide", WEIR_QUERY, .run = wide, WEIR_USES(WIDE), .public = true},
    {"sql.made", WEIR_QUERY, find_args, .run = made, .public = true},
    {"sql.passed", WEIR_QUERY, find_args, .run = passed, .public = true},
};

WEIR_PLUGIN("edges", "1.0.0", statements, functions)
