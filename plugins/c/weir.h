/* weir.h: the SDK for plugins of weir in C. One file, C99, without a library:
 *
 *   clang --target=wasm32 -std=c99 -Os -ffreestanding -nostdlib -mbulk-memory \
 *     -Wl,--no-entry,--strip-all,-z,stack-size=65536,--stack-first -o chat.wasm chat.c
 *
 * A plugin is three tables, of statements, of fields and of functions, and one
 * WEIR_PLUGIN. A function that is one statement has no code: the host runs it.
 *
 *   enum { LIST, MEMBER };
 *   static const weir_statement statements[] = {
 *       [LIST] = {"select id, body from messages where room_id = $room {and author = $author} order by id", .key = "id"},
 *       [MEMBER] = {"select 1 from members where room_id = $room and user_id = $me"},
 *   };
 *   static const weir_field list_args[] = {
 *       {"room", {WEIR_INTEGER}}, {"author", {WEIR_STRING, .optional = true}}, {0}};
 *   static const weir_field member_args[] = {
 *       {"room", {WEIR_INTEGER}}, {"me", {WEIR_STRING}, WEIR_CLAIM("sub")}, {0}};
 *   static const weir_function functions[] = {
 *       {"messages.list", WEIR_QUERY, list_args, .statement = LIST, .require = "member"},
 *       {"member", WEIR_POLICY, member_args, .statement = MEMBER},
 *   };
 *   WEIR_PLUGIN("chat", "1.0.0", statements, functions)
 *
 * A guest runs one call at a time, so the call is not passed around: what is asked of
 * the host, read or written concerns the call that runs. What goes wrong is kept, all
 * that follows does nothing and gives zeros, and the call ends with that error,
 * whatever the function returns. Memory comes from an arena at the end of the module's
 * memory that is empty again at the next call; when the host gives no more, the plugin
 * says so in the log and traps. Texts are not ended by a zero. Read the functions in the order below:
 * results, inputs, statements, rows, the rest; then CBOR itself. */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef WEIR_PAGE_BYTES
#define WEIR_PAGE_BYTES (16 * 1024) /* of rows, read at once */
#endif
#ifndef WEIR_CAPABILITIES
#define WEIR_CAPABILITIES "" /* what the operator must grant: "sql.dynamic" */
#endif
#define WEIR_INPUT_BYTES (64 * 1024)
#define WEIR_DEPTH 32

#define WEIR_API static __attribute__((unused))
#define WEIR_IMPORT(name) __attribute__((import_module("weir_1"), import_name(#name))) extern
#define WEIR_EXPORT(name) __attribute__((export_name(#name)))

WEIR_IMPORT(query) int32_t weir_host_query(uint32_t statement, const void *args, uint32_t len);
WEIR_IMPORT(query_sql) int32_t weir_host_query_sql(const char *sql, uint32_t sql_len, const void *args, uint32_t len);
WEIR_IMPORT(exec) int32_t weir_host_exec(uint32_t statement, const void *args, uint32_t len);
WEIR_IMPORT(rows_affected) int64_t weir_host_rows_affected(int32_t rows);
WEIR_IMPORT(rows_len) int32_t weir_host_rows_len(int32_t rows);
WEIR_IMPORT(rows_read) int32_t weir_host_rows_read(int32_t rows, uint32_t from, void *buf, uint32_t cap);
WEIR_IMPORT(rows_pick) int32_t weir_host_rows_pick(int32_t rows, const uint32_t *indexes, uint32_t n);
WEIR_IMPORT(rows_project) int32_t weir_host_rows_project(int32_t rows, const uint32_t *columns, uint32_t n);
WEIR_IMPORT(rows_nest) int32_t weir_host_rows_nest(int32_t rows, const char *name, uint32_t len, int32_t child, uint32_t on, uint32_t column);
WEIR_IMPORT(close) int32_t weir_host_close(int32_t rows);
WEIR_IMPORT(now) int64_t weir_host_now(void);
WEIR_IMPORT(wake_at) int32_t weir_host_wake_at(int64_t micros);
WEIR_IMPORT(random) int32_t weir_host_random(void *buf, uint32_t len);
WEIR_IMPORT(log) int32_t weir_host_log(int32_t level, const char *text, uint32_t len);
WEIR_IMPORT(config) int32_t weir_host_config(const char *key, uint32_t key_len, void *buf, uint32_t cap);
WEIR_IMPORT(error) int32_t weir_host_error(void *buf, uint32_t cap);

/* Texts and bytes. */

typedef struct {
    const char *at;
    uint32_t len;
} weir_text;

/* What a plugin is: the tables. */

typedef struct weir_schema weir_schema;
typedef struct weir_field weir_field;
typedef struct { bool set; double is; } weir_bound;
typedef struct { bool set; uint32_t is; } weir_length;
typedef struct { char kind; int64_t i; double f; const char *s; } weir_constant;

struct weir_schema {
    const char *type, *format;
    bool optional;              /* may be absent, and is null then */
    weir_constant absent;       /* what it is instead: WEIR_ABSENT_INT and the like */
    weir_bound min, max;        /* of a number: WEIR_MIN, WEIR_MAX */
    weir_length min_len, max_len; /* of characters, bytes or items: WEIR_MIN_LEN, WEIR_MAX_LEN */
    const char *const *one_of;  /* texts, ended by NULL */
    const weir_schema *items;   /* of a WEIR_LIST */
    const weir_field *fields;   /* of a WEIR_OBJECT, ended by {0} */
    const char *doc;            /* a sentence for people */
};

#define WEIR_INTEGER .type = "integer"
#define WEIR_INTEGER32 WEIR_INTEGER, WEIR_MIN(-2147483648.0), WEIR_MAX(2147483647.0)
#define WEIR_NUMBER .type = "number"
#define WEIR_BOOLEAN .type = "boolean"
#define WEIR_STRING .type = "string"
#define WEIR_BYTES .type = "string", .format = "bytes"
#define WEIR_TIME .type = "string", .format = "date-time"
#define WEIR_DATE .type = "string", .format = "date"
#define WEIR_UUID .type = "string", .format = "uuid"
#define WEIR_DECIMAL .type = "string", .format = "decimal"
#define WEIR_JSON .type = "string", .format = "json"
#define WEIR_LIST(of) .type = "array", .items = (of)
#define WEIR_OBJECT(of) .type = "object", .fields = (of)

#define WEIR_MIN(n) .min = {true, (n)}
#define WEIR_MAX(n) .max = {true, (n)}
#define WEIR_MIN_LEN(n) .min_len = {true, (n)}
#define WEIR_MAX_LEN(n) .max_len = {true, (n)}
#define WEIR_ABSENT_INT(n) .optional = true, .absent = {'i', (n), 0, NULL}
#define WEIR_ABSENT_NUMBER(n) .optional = true, .absent = {'f', 0, (n), NULL}
#define WEIR_ABSENT_BOOL(b) .optional = true, .absent = {'b', (b), 0, NULL}
#define WEIR_ABSENT_STRING(s) .optional = true, .absent = {'s', 0, 0, (s)}
#define WEIR_ONE_OF(...) .one_of = (const char *const[]){__VA_ARGS__, NULL}

/* Where the value of a field comes from; in the input they are in this order. */
typedef enum { WEIR_FROM_CALLER, WEIR_FROM_CLAIM, WEIR_FROM_SCOPE, WEIR_FROM_ACTION, WEIR_FROM_FUNCTION } weir_source;

struct weir_field {
    const char *name;
    weir_schema is;
    weir_source from;
    const char *claim;
};

#define WEIR_CLAIM(name) .from = WEIR_FROM_CLAIM, .claim = (name) /* of the caller's token */
#define WEIR_SCOPE .from = WEIR_FROM_SCOPE                         /* from what policies allow */
#define WEIR_ACTION .from = WEIR_FROM_ACTION                       /* in a policy: read or write */
#define WEIR_GUARDED .from = WEIR_FROM_FUNCTION                    /* in a policy: the guarded function */

typedef struct {
    const char *name, *on;
    uint32_t statement; /* the child */
    const char *column;
} weir_nested;

typedef struct {
    const char *sql;         /* with $names, and {and …} kept only when its names are not null */
    const char *key;         /* columns that tell rows apart, separated by commas */
    const weir_nested *nest; /* ended by {0} */
} weir_statement;

typedef int64_t weir_reply;
typedef enum { WEIR_QUERY, WEIR_MUTATION, WEIR_POLICY } weir_kind;

typedef struct {
    const char *name;
    weir_kind kind;
    const weir_field *fields; /* ended by {0}; NULL for none */
    weir_reply (*run)(void);  /* NULL: the statement is the function */
    uint32_t statement;
    const uint32_t *uses;     /* WEIR_USES: the statements that run may ask for */
    uint32_t uses_len;
    const char *require;      /* policies, separated by commas; or one of the two below */
    bool signed_in, public;
    const weir_schema *result;
    const char *doc;
} weir_function;

#define WEIR_USES(...) .uses = (const uint32_t[]){__VA_ARGS__}, .uses_len = sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

typedef struct {
    const char *name, *version;
    const weir_statement *statements;
    uint32_t statements_len;
    const weir_function *functions;
    uint32_t functions_len;
} weir_plugin;

#define WEIR_PLUGIN(NAME, VERSION, STATEMENTS, FUNCTIONS)                                              \
    static const weir_plugin weir_this = {NAME, VERSION, STATEMENTS, sizeof(STATEMENTS) / sizeof *(STATEMENTS), \
                                          FUNCTIONS, sizeof(FUNCTIONS) / sizeof *(FUNCTIONS)};         \
    WEIR_EXPORT(weir_describe) int64_t weir_export_describe(void) { return weir_describe_plugin(&weir_this); } \
    WEIR_EXPORT(weir_buf) void *weir_export_buf(uint32_t min) { return weir_input_buffer(min); }       \
    WEIR_EXPORT(weir_call) int64_t weir_export_call(uint32_t f, uint32_t len) { return weir_run(&weir_this, f, len); }

/* The call that runs, and the arena. */

static struct {
    const weir_field *fields;
    const uint32_t *starts; /* of the items of the input */
    uint32_t count, len;
    bool failed, public, retryable;
    weir_text code, message;
    int32_t errno_;
    struct weir_out *scope;
    bool wakes;
    int64_t wake_at;
} weir_now_running;

extern uint8_t __heap_base;   /* the linker says where data ends */
static uintptr_t weir_arena; /* where the arena begins; 0 before its first use */
static size_t weir_arena_used;
static uint8_t weir_first_input[WEIR_INPUT_BYTES];
static uint8_t *weir_input_at = weir_first_input;
static uint32_t weir_input_cap = WEIR_INPUT_BYTES;

/* The compiler may call these whatever the flags. */
__attribute__((weak, no_builtin)) void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}
__attribute__((weak, no_builtin)) void *memmove(void *to, const void *from, size_t n) {
    if ((uintptr_t)to < (uintptr_t)from) return memcpy(to, from, n);
    while (n-- > 0) ((uint8_t *)to)[n] = ((const uint8_t *)from)[n];
    return to;
}
__attribute__((weak, no_builtin)) void *memset(void *to, int byte, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)to)[i] = (uint8_t)byte;
    return to;
}
__attribute__((weak, no_builtin)) int memcmp(const void *a, const void *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int d = ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
        if (d != 0) return d;
    }
    return 0;
}

/* weir_str is a text of a string that a zero ends. */
WEIR_API weir_text weir_str(const char *s) {
    uint32_t n = 0;
    while (s[n] != 0) n++;
    return (weir_text){s, n};
}

WEIR_API bool weir_same(weir_text a, weir_text b) { return a.len == b.len && memcmp(a.at, b.at, a.len) == 0; }

typedef enum { WEIR_DEBUG, WEIR_INFO, WEIR_WARN, WEIR_ERROR } weir_level;

/* weir_log writes to the operator's log. */
WEIR_API void weir_log(weir_level level, weir_text text) { weir_host_log(level, text.at, text.len); }

/* weir_panic ends the call with a fault; the text is in the log. */
WEIR_API __attribute__((noreturn)) void weir_panic(const char *why) {
    weir_log(WEIR_ERROR, weir_str(why));
    __builtin_trap();
}

/* weir_alloc returns n bytes that are gone when the call ends. It never fails. */
WEIR_API void *weir_alloc(uint32_t n) {
    if (weir_arena == 0) weir_arena = ((uintptr_t)&__heap_base + 15u) & ~(uintptr_t)15u;
    uint64_t size = ((uint64_t)n + 15u) & ~UINT64_C(15);
    uint64_t end = weir_arena + weir_arena_used + size, have = (uint64_t)__builtin_wasm_memory_size(0) * 65536u;
    if (end > have) {
        uint64_t pages = (end - have + 65535u) / 65536u;
        if (pages > 65535u || __builtin_wasm_memory_grow(0, (size_t)pages) == (size_t)-1) weir_panic("the host gives no more memory");
    }
    weir_arena_used += (size_t)size;
    return (void *)(weir_arena + weir_arena_used - (size_t)size);
}

/* weir_join makes one text of several: WEIR_JOIN(a, weir_str(": "), b). */
WEIR_API weir_text weir_join(const weir_text *parts, uint32_t n) {
    uint32_t len = 0;
    for (uint32_t i = 0; i < n; i++) len += parts[i].len;
    char *at = weir_alloc(len);
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; used += parts[i++].len) memcpy(at + used, parts[i].at, parts[i].len);
    return (weir_text){at, len};
}
#define WEIR_JOIN(...) weir_join((const weir_text[]){__VA_ARGS__}, sizeof((const weir_text[]){__VA_ARGS__}) / sizeof(weir_text))

/* weir_cut is the beginning of a text, at most so many bytes of whole characters. */
WEIR_API weir_text weir_cut(weir_text t, uint32_t most) {
    if (t.len <= most) return t;
    while (most > 0 && ((uint8_t)t.at[most] & 0xc0) == 0x80) most--;
    return (weir_text){t.at, most};
}

/* weir_digits is the text of a number. */
WEIR_API weir_text weir_digits(int64_t n) {
    char *at = weir_alloc(20) , *end = at + 20, *p = end;
    uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do *--p = (char)('0' + size % 10);
    while ((size /= 10) != 0);
    if (n < 0) *--p = '-';
    return (weir_text){p, (uint32_t)(end - p)};
}

/* Errors. weir_fail is one that the client sees; it takes the place of another. */

WEIR_API weir_reply weir_failure(weir_text code, weir_text message, bool public, bool retryable) {
    weir_now_running.failed = true;
    weir_now_running.public = public;
    weir_now_running.retryable = retryable;
    weir_now_running.code = code;
    weir_now_running.message = message;
    return 0;
}

WEIR_API weir_reply weir_fail(const char *code, const char *message) { return weir_failure(weir_str(code), weir_str(message), true, false); }

/* weir_internal is an error for the log: the client sees "internal". */
WEIR_API weir_reply weir_internal(const char *message) { return weir_failure(weir_str("internal"), weir_str(message), false, false); }

/* weir_failed says that something went wrong, weir_errno which errno of the host it was, 0 if none. */
WEIR_API bool weir_failed(void) { return weir_now_running.failed; }
WEIR_API int32_t weir_errno(void) { return weir_now_running.errno_; }

/* weir_broken keeps the first fault of the contract: a type that does not fit. */
WEIR_API void weir_broken(const char *what) {
    if (!weir_now_running.failed) weir_failure(weir_str("guest_contract"), weir_str(what), false, false);
}

/* weir_done returns a result of the host's, or keeps its refusal. */
WEIR_API int64_t weir_done(int64_t n) {
    if (n >= 0 || weir_now_running.failed) return n;
    char *text = weir_alloc(1024);
    int32_t len = weir_host_error(text, 1024);
    weir_text said = len > 0 && len <= 1024 ? (weir_text){text, (uint32_t)len} : WEIR_JOIN(weir_str("errno "), weir_digits(-n));
    weir_failure(weir_str(n == -7 ? "sql_error" : "internal"), said, false, false);
    weir_now_running.errno_ = (int32_t)-n;
    return n;
}

/* CBOR: reading. A reader that meets what the contract does not allow keeps the
 * fault for the call. */

typedef struct {
    const uint8_t *at, *end;
} weir_reader;

enum { WEIR_M_UINT, WEIR_M_NEGINT, WEIR_M_BYTES, WEIR_M_TEXT, WEIR_M_ARRAY, WEIR_M_MAP };

WEIR_API void weir_read_fault(weir_reader *r, const char *what) {
    r->at = r->end;
    weir_broken(what);
}

/* weir_head reads an item's first byte and the number behind it; major is what it must be. */
WEIR_API uint64_t weir_head(weir_reader *r, unsigned major, const char *want) {
    if (r->at >= r->end || *r->at >> 5 != major) {
        weir_read_fault(r, r->at >= r->end ? "cbor is cut short" : want);
        return 0;
    }
    unsigned low = *r->at++ & 31;
    if (low < 24) return low;
    unsigned size = 1u << (low - 24);
    if (low > 27 || size > (size_t)(r->end - r->at)) {
        weir_read_fault(r, "cbor is cut short, or has no definite length");
        return 0;
    }
    uint64_t n = 0;
    while (size-- > 0) n = n << 8 | *r->at++;
    return n;
}

WEIR_API bool weir_is_utf8(weir_text t) {
    const uint8_t *p = (const uint8_t *)t.at, *end = p + t.len;
    while (p < end) {
        uint32_t c = *p++, more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 9;
        if (more == 9 || more > (uint32_t)(end - p)) return false;
        if (more == 0) continue;
        uint32_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (*p < low || *p > high) return false;
        for (p++; --more > 0; p++) {
            if (*p < 0x80 || *p > 0xbf) return false;
        }
    }
    return true;
}

WEIR_API bool weir_read_null(weir_reader *r) {
    bool is = r->at < r->end && *r->at == 0xf6;
    r->at += is;
    return is;
}

WEIR_API bool weir_read_bool(weir_reader *r) {
    if (r->at >= r->end || (*r->at & 0xfe) != 0xf4) {
        weir_read_fault(r, "want a boolean");
        return false;
    }
    return *r->at++ & 1;
}

WEIR_API uint64_t weir_read_uint(weir_reader *r) { return weir_head(r, WEIR_M_UINT, "want an integer that is not negative"); }

WEIR_API int64_t weir_read_int(weir_reader *r) {
    bool negative = r->at < r->end && *r->at >> 5 == WEIR_M_NEGINT;
    uint64_t n = weir_head(r, negative, "want an integer");
    if (n > INT64_MAX) {
        weir_read_fault(r, "an integer does not fit 64 bits with a sign");
        return 0;
    }
    return negative ? -1 - (int64_t)n : (int64_t)n;
}

WEIR_API weir_text weir_read_span(weir_reader *r, unsigned major, const char *want) {
    uint64_t n = weir_head(r, major, want);
    if (n > (uint64_t)(r->end - r->at)) {
        weir_read_fault(r, "cbor is cut short");
        return (weir_text){"", 0};
    }
    weir_text t = {(const char *)r->at, (uint32_t)n};
    r->at += n;
    return t;
}

WEIR_API weir_text weir_read_bytes(weir_reader *r) { return weir_read_span(r, WEIR_M_BYTES, "want a byte string"); }

WEIR_API weir_text weir_read_text(weir_reader *r) {
    weir_text t = weir_read_span(r, WEIR_M_TEXT, "want a text");
    if (!weir_is_utf8(t)) {
        weir_read_fault(r, "a text that is not UTF-8");
        return (weir_text){"", 0};
    }
    return t;
}

WEIR_API double weir_half(uint32_t bits) {
    double size = bits & 1023;
    int exponent = bits >> 10 & 31;
    size = exponent == 0 ? size / 16777216 : (1 + size / 1024) * ((double)(1u << exponent) / 32768);
    return bits & 0x8000 ? -size : size;
}

/* weir_read_float reads a number, also the text of one that is not finite. */
WEIR_API double weir_read_float(weir_reader *r) {
    union { uint32_t u; float f; } single;
    union { uint64_t u; double f; } twice;
    unsigned first = r->at < r->end ? *r->at : 0;
    switch (first) {
    case 0xf9:
        single.u = (uint32_t)weir_head(r, 7, "");
        if ((single.u & 0x7c00) != 0x7c00) return weir_half(single.u);
        break;
    case 0xfa:
        single.u = (uint32_t)weir_head(r, 7, "");
        if ((single.u & 0x7f800000) != 0x7f800000) return single.f;
        break;
    case 0xfb:
        twice.u = weir_head(r, 7, "");
        if ((twice.u & 0x7ff0000000000000) != 0x7ff0000000000000) return twice.f;
        break;
    default:
        if (first >> 5 == WEIR_M_NEGINT) return -1 - (double)weir_head(r, WEIR_M_NEGINT, "");
        if (first >> 5 != WEIR_M_TEXT) return (double)weir_head(r, WEIR_M_UINT, "want a number");
        weir_text t = weir_read_text(r);
        if (weir_same(t, weir_str("NaN"))) return __builtin_nan("");
        if (weir_same(t, weir_str("Infinity"))) return __builtin_inf();
        if (weir_same(t, weir_str("-Infinity"))) return -__builtin_inf();
    }
    weir_read_fault(r, "want a finite number; a numeric column is text");
    return 0;
}

WEIR_API uint32_t weir_read_count(weir_reader *r, unsigned major, unsigned each, const char *want) {
    uint64_t n = weir_head(r, major, want);
    if (n <= (uint64_t)(r->end - r->at) / each) return (uint32_t)n;
    weir_read_fault(r, "cbor is cut short"); /* a count that no data could hold */
    return 0;
}

/* weir_read_array returns how many items follow, weir_read_map how many pairs of a text and an item. */
WEIR_API uint32_t weir_read_array(weir_reader *r) { return weir_read_count(r, WEIR_M_ARRAY, 1, "want an array"); }
WEIR_API uint32_t weir_read_map(weir_reader *r) { return weir_read_count(r, WEIR_M_MAP, 2, "want a map"); }

WEIR_API void weir_skip_nested(weir_reader *r, uint32_t depth);

/* weir_skip_pairs passes a map whose keys must differ. In the order that the host
 * writes them, each is compared with the one before. */
WEIR_API void weir_skip_pairs(weir_reader *r, uint32_t depth) {
    uint32_t n = weir_read_map(r);
    weir_reader first = *r;
    weir_text last = {"", 0};
    for (uint32_t i = 0; i < n && !weir_failed(); i++) {
        weir_text key = weir_read_text(r);
        bool after = i == 0 || key.len > last.len || (key.len == last.len && memcmp(key.at, last.at, key.len) > 0);
        weir_skip_nested(r, depth + 1);
        weir_reader before = first;
        for (uint32_t j = 0; !after && j < i && !weir_failed(); j++) {
            if (weir_same(weir_read_text(&before), key)) weir_read_fault(r, "a key that is there twice");
            weir_skip_nested(&before, depth + 1);
        }
        if (after) last = key;
    }
}

WEIR_API void weir_skip_nested(weir_reader *r, uint32_t depth) {
    unsigned first = r->at < r->end ? *r->at : 0xff;
    if ((first >> 5 == WEIR_M_ARRAY || first >> 5 == WEIR_M_MAP) && depth == WEIR_DEPTH) {
        weir_read_fault(r, "nested too deeply");
        return;
    }
    switch (first >> 5) {
    case WEIR_M_UINT:
    case WEIR_M_NEGINT: weir_head(r, first >> 5, ""); return;
    case WEIR_M_BYTES: weir_read_bytes(r); return;
    case WEIR_M_TEXT: weir_read_text(r); return;
    case WEIR_M_ARRAY:
        for (uint32_t n = weir_read_array(r); n > 0 && !weir_failed(); n--) weir_skip_nested(r, depth + 1);
        return;
    case WEIR_M_MAP: weir_skip_pairs(r, depth); return;
    }
    if (first >= 0xf4 && first <= 0xf6) r->at++;
    else if (first >= 0xf9 && first <= 0xfb) weir_read_float(r);
    else weir_read_fault(r, "a tag, or a simple value that is not known");
}

/* weir_skip passes one item of any kind and checks it. */
WEIR_API void weir_skip(weir_reader *r) { weir_skip_nested(r, 0); }

/* CBOR: writing, in core deterministic encoding. weir_end closes what
 * weir_begin_array or weir_begin_map opened, counts, and sorts the pairs of a map. */

typedef struct weir_out {
    uint8_t *at;
    uint32_t len, cap, depth;
    struct { uint32_t start, count; bool map; } open[WEIR_DEPTH + 1];
} weir_out;

/* weir_new_out returns an empty writer. */
WEIR_API weir_out *weir_new_out(void) {
    weir_out *w = weir_alloc(sizeof *w);
    w->len = w->depth = 0;
    w->open[0].count = 0;
    w->cap = 256;
    w->at = weir_alloc(w->cap);
    return w;
}

/* weir_room makes place for n bytes more: behind what is there, if nothing was
 * allocated since, else in a new place. */
WEIR_API uint8_t *weir_room(weir_out *w, uint32_t n) {
    if (n > w->cap - w->len) {
        if (n > UINT32_MAX / 4 - w->len) weir_panic("a result of a gigabyte");
        uint32_t cap = (2 * w->cap > w->len + n ? 2 * w->cap : w->len + n) + 15u;
        cap &= ~15u; /* as weir_alloc rounds it */
        if ((uintptr_t)w->at + w->cap == weir_arena + weir_arena_used) {
            weir_alloc(cap - w->cap);
        } else {
            uint8_t *at = weir_alloc(cap);
            memcpy(at, w->at, w->len);
            w->at = at;
        }
        w->cap = cap;
    }
    w->len += n;
    return w->at + w->len - n;
}

WEIR_API uint32_t weir_head_bytes(uint8_t *to, unsigned major, uint64_t n) {
    unsigned size = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    to[0] = (uint8_t)(major << 5 | (size == 0 ? n : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27));
    for (unsigned i = 0; i < size; i++) to[1 + i] = (uint8_t)(n >> 8 * (size - 1 - i));
    return 1 + size;
}

WEIR_API void weir_put_head(weir_out *w, unsigned major, uint64_t n) {
    uint8_t head[9];
    uint32_t len = weir_head_bytes(head, major, n);
    memcpy(weir_room(w, len), head, len);
    w->open[w->depth].count++;
}

WEIR_API void weir_put_null(weir_out *w) { weir_put_head(w, 7, 22); }
WEIR_API void weir_put_bool(weir_out *w, bool b) { weir_put_head(w, 7, b ? 21 : 20); }
WEIR_API void weir_put_uint(weir_out *w, uint64_t n) { weir_put_head(w, WEIR_M_UINT, n); }

WEIR_API void weir_put_int(weir_out *w, int64_t n) {
    if (n < 0) weir_put_head(w, WEIR_M_NEGINT, ~(uint64_t)n);
    else weir_put_head(w, WEIR_M_UINT, (uint64_t)n);
}

WEIR_API void weir_put_bytes(weir_out *w, weir_text b) {
    weir_put_head(w, WEIR_M_BYTES, b.len);
    memcpy(weir_room(w, b.len), b.at, b.len);
}

WEIR_API void weir_put_text(weir_out *w, weir_text t) {
    if (!weir_is_utf8(t)) {
        weir_broken("a text that is not UTF-8 was written");
        t.len = 0;
    }
    weir_put_head(w, WEIR_M_TEXT, t.len);
    memcpy(weir_room(w, t.len), t.at, t.len);
}

WEIR_API void weir_put_str(weir_out *w, const char *s) { weir_put_text(w, weir_str(s)); }

/* weir_half_of returns the 16 bits of a number that they hold exactly, else -1. */
WEIR_API int32_t weir_half_of(float f) {
    union { float f; uint32_t u; } bits = {f};
    uint32_t sign = bits.u >> 16 & 0x8000, fraction = bits.u & 0x7fffff;
    int32_t exponent = (int32_t)(bits.u >> 23 & 0xff) - 127;
    if (bits.u << 1 == 0) return (int32_t)sign;
    if (exponent >= -14 && exponent <= 15) {
        return fraction & 0x1fff ? -1 : (int32_t)(sign | (uint32_t)(exponent + 15) << 10 | fraction >> 13);
    }
    if (exponent < -24 || exponent > 15) return -1;
    uint32_t whole = fraction | 0x800000, shift = (uint32_t)(-1 - exponent);
    return whole & ((1u << shift) - 1) ? -1 : (int32_t)(sign | whole >> shift);
}

/* weir_put_float writes the shortest form that keeps a number exactly; what is not finite is its text. */
WEIR_API void weir_put_float(weir_out *w, double f) {
    union { double f; uint64_t u; } twice = {f};
    if ((twice.u & 0x7ff0000000000000) == 0x7ff0000000000000) {
        weir_put_str(w, f != f ? "NaN" : f > 0 ? "Infinity" : "-Infinity");
        return;
    }
    union { float f; uint32_t u; } single = {(float)f};
    int32_t half = weir_half_of(single.f);
    unsigned size = single.f != f ? 8 : half < 0 ? 4 : 2;
    uint64_t bits = size == 8 ? twice.u : size == 4 ? single.u : (uint64_t)half;
    uint8_t *to = weir_room(w, 1 + size);
    *to++ = size == 8 ? 0xfb : size == 4 ? 0xfa : 0xf9;
    while (size-- > 0) *to++ = (uint8_t)(bits >> 8 * size);
    w->open[w->depth].count++;
}

/* weir_put_item writes one item that is there already, such as one of a reader. */
WEIR_API void weir_put_item(weir_out *w, const void *item, uint32_t len) {
    memcpy(weir_room(w, len), item, len);
    w->open[w->depth].count++;
}

WEIR_API void weir_begin(weir_out *w, bool map) {
    w->open[w->depth].count++;
    if (w->depth == WEIR_DEPTH) weir_panic("a result is nested deeper than 32");
    w->depth++;
    w->open[w->depth].start = w->len;
    w->open[w->depth].count = 0;
    w->open[w->depth].map = map;
}
WEIR_API void weir_begin_array(weir_out *w) { weir_begin(w, false); }
WEIR_API void weir_begin_map(weir_out *w) { weir_begin(w, true); }

/* weir_key writes a key of a map, in any order; its value must follow. */
WEIR_API void weir_key(weir_out *w, const char *name) { weir_put_str(w, name); }

/* weir_sort_pairs brings the pairs of a map into the order of their encoded keys. */
WEIR_API void weir_sort_pairs(uint8_t *at, uint32_t len, uint32_t n) {
    typedef struct { const uint8_t *at; uint32_t key, len; } pair;
    size_t mark = weir_arena_used;
    pair *pairs = weir_alloc(n * sizeof *pairs);
    uint8_t *copy = weir_alloc(len);
    memcpy(copy, at, len);
    weir_reader r = {copy, copy + len};
    for (uint32_t i = 0; i < n; i++) {
        pair p = {r.at, 0, 0};
        weir_read_text(&r);
        p.key = (uint32_t)(r.at - p.at);
        weir_skip(&r);
        p.len = (uint32_t)(r.at - p.at);
        uint32_t j = i;
        for (; j > 0; j--) {
            uint32_t shorter = p.key < pairs[j - 1].key ? p.key : pairs[j - 1].key;
            int order = memcmp(p.at, pairs[j - 1].at, shorter);
            if (order == 0) weir_broken("a map has a key twice");
            if (order >= 0) break;
            pairs[j] = pairs[j - 1];
        }
        pairs[j] = p;
    }
    for (uint32_t i = 0; i < n; at += pairs[i++].len) memcpy(at, pairs[i].at, pairs[i].len);
    weir_arena_used = mark;
}

WEIR_API void weir_end(weir_out *w) {
    if (w->depth == 0) weir_panic("weir_end without weir_begin");
    uint32_t start = w->open[w->depth].start, n = w->open[w->depth].count, len = w->len - start;
    bool map = w->open[w->depth].map;
    w->depth--;
    if (map && n % 2 != 0) weir_panic("a map has a key without a value");
    if (map && n > 2 && !weir_failed()) weir_sort_pairs(w->at + start, len, n / 2);
    uint8_t head[9];
    uint32_t size = weir_head_bytes(head, map ? WEIR_M_MAP : WEIR_M_ARRAY, map ? n / 2 : n);
    weir_room(w, size);
    memmove(w->at + start + size, w->at + start, len);
    memcpy(w->at + start, head, size);
}

/* Results. weir_result gives a writer; return weir_value(w), weir_rows_result(rows),
 * weir_nothing(), or what weir_fail returns. */

WEIR_API weir_out *weir_result(void) { return weir_new_out(); }
WEIR_API weir_reply weir_packed(unsigned tag, uint32_t at, uint32_t len) { return (int64_t)tag << 60 | (int64_t)at << 30 | len; }

WEIR_API weir_reply weir_value(weir_out *w) {
    if (w->depth != 0 || w->open[0].count != 1) weir_broken("a result is one item, and ends what it begins");
    return weir_packed(0, (uint32_t)(uintptr_t)w->at, w->len);
}

typedef int32_t weir_rows; /* rows that are still at the host */

WEIR_API weir_reply weir_rows_result(weir_rows rows) { return weir_packed(1, (uint32_t)rows, 0); }
WEIR_API weir_reply weir_nothing(void) { return weir_packed(3, 0, 0); }

/* A policy: say weir_scope_… and weir_until first, then return weir_allow() or weir_deny(reason). */

WEIR_API weir_out *weir_scope(const char *name) {
    if (weir_now_running.scope == NULL) {
        weir_now_running.scope = weir_new_out();
        weir_begin_map(weir_now_running.scope);
    }
    weir_key(weir_now_running.scope, name);
    return weir_now_running.scope;
}
WEIR_API void weir_scope_text(const char *name, weir_text t) { weir_put_text(weir_scope(name), t); }
WEIR_API void weir_scope_int(const char *name, int64_t n) { weir_put_int(weir_scope(name), n); }
WEIR_API void weir_scope_bool(const char *name, bool b) { weir_put_bool(weir_scope(name), b); }

/* weir_until asks for the decision to be made again, in microseconds since 1970. */
WEIR_API void weir_until(int64_t micros) {
    weir_now_running.wakes = true;
    weir_now_running.wake_at = micros;
}

WEIR_API weir_reply weir_decide(bool allow, weir_text reason) {
    weir_out *w = weir_new_out(), *scope = weir_now_running.scope;
    weir_begin_map(w);
    weir_key(w, "allow");
    weir_put_bool(w, allow);
    if (reason.len > 0) {
        weir_key(w, "reason");
        weir_put_text(w, weir_cut(reason, 8 * 1024));
    }
    if (scope != NULL) {
        weir_end(scope);
        weir_key(w, "scope");
        weir_put_item(w, scope->at, scope->len);
    }
    if (weir_now_running.wakes) {
        weir_key(w, "wake_at");
        weir_put_int(w, weir_now_running.wake_at);
    }
    weir_end(w);
    return weir_value(w);
}
WEIR_API weir_reply weir_allow(void) { return weir_decide(true, (weir_text){"", 0}); }
WEIR_API weir_reply weir_deny(weir_text reason) { return weir_decide(false, reason); }

/* The input, by the names of the function's fields. */

WEIR_API uint32_t weir_place(const weir_field *fields, uint32_t field) {
    uint32_t place = 0;
    for (uint32_t i = 0; fields[i].name != NULL; i++) place += fields[i].from < fields[field].from || (fields[i].from == fields[field].from && i < field);
    return place;
}

/* weir_arg returns a reader of one item of the input. */
WEIR_API weir_reader weir_arg(const char *name) {
    const weir_field *fields = weir_now_running.fields;
    for (uint32_t i = 0; fields != NULL && fields[i].name != NULL; i++) {
        if (!weir_same(weir_str(fields[i].name), weir_str(name))) continue;
        uint32_t place = weir_place(fields, i);
        return (weir_reader){weir_input_at + weir_now_running.starts[place], weir_input_at + weir_now_running.starts[place + 1]};
    }
    weir_panic("weir_arg was given a name that is no field of the function");
}
WEIR_API bool weir_arg_null(const char *name) { weir_reader r = weir_arg(name); return weir_read_null(&r); }
WEIR_API bool weir_arg_bool(const char *name) { weir_reader r = weir_arg(name); return weir_read_bool(&r); }
WEIR_API int64_t weir_arg_int(const char *name) { weir_reader r = weir_arg(name); return weir_read_int(&r); }
WEIR_API double weir_arg_float(const char *name) { weir_reader r = weir_arg(name); return weir_read_float(&r); }
WEIR_API weir_text weir_arg_text(const char *name) { weir_reader r = weir_arg(name); return weir_read_text(&r); }
WEIR_API weir_text weir_arg_bytes(const char *name) { weir_reader r = weir_arg(name); return weir_read_bytes(&r); }

/* weir_put_arg writes an item of the input as it is. */
WEIR_API void weir_put_arg(weir_out *w, const char *name) {
    weir_reader r = weir_arg(name);
    weir_put_item(w, r.at, (uint32_t)(r.end - r.at));
}

/* Statements. The arguments are the parameters in the order of their first use in the
 * text: weir_out *a = weir_arguments(); weir_put_int(a, room); weir_query(LIST, a). */

WEIR_API weir_out *weir_arguments(void) {
    weir_out *w = weir_new_out();
    weir_begin_array(w);
    return w;
}

WEIR_API weir_rows weir_opened(int32_t (*open)(uint32_t, const void *, uint32_t), uint32_t statement, weir_out *args) {
    weir_out *a = args != NULL ? args : weir_arguments();
    weir_end(a);
    return weir_failed() ? 0 : (weir_rows)weir_done(open(statement, a->at, a->len));
}

/* weir_query asks for a statement, which runs when its rows are looked at; args may be NULL. */
WEIR_API weir_rows weir_query(uint32_t statement, weir_out *args) { return weir_opened(weir_host_query, statement, args); }

/* weir_query_sql asks for SQL that is made up during the call, which needs the capability sql.dynamic. */
WEIR_API weir_rows weir_query_sql(weir_text sql, weir_out *args) {
    weir_out *a = args != NULL ? args : weir_arguments();
    weir_end(a);
    return weir_failed() ? 0 : (weir_rows)weir_done(weir_host_query_sql(sql.at, sql.len, a->at, a->len));
}

/* weir_exec runs a statement of a mutation; weir_affected says how many rows it touched. */
WEIR_API weir_rows weir_exec(uint32_t statement, weir_out *args) { return weir_opened(weir_host_exec, statement, args); }

WEIR_API int64_t weir_affected(weir_rows rows) {
    int64_t n = weir_failed() ? 0 : weir_done(weir_host_rows_affected(rows));
    return n < 0 ? 0 : n;
}

/* Rows: shapes without reading. Columns are counted from 0. */

WEIR_API uint32_t weir_count(weir_rows rows) {
    int64_t n = weir_failed() ? 0 : weir_done(weir_host_rows_len(rows));
    return n < 0 ? 0 : (uint32_t)n;
}
WEIR_API weir_rows weir_pick(weir_rows rows, const uint32_t *indexes, uint32_t n) {
    return weir_failed() ? 0 : (weir_rows)weir_done(weir_host_rows_pick(rows, indexes, n));
}
WEIR_API weir_rows weir_project(weir_rows rows, const uint32_t *columns, uint32_t n) {
    return weir_failed() ? 0 : (weir_rows)weir_done(weir_host_rows_project(rows, columns, n));
}
WEIR_API weir_rows weir_nest(weir_rows rows, const char *name, weir_rows child, uint32_t on, uint32_t column) {
    weir_text t = weir_str(name);
    return weir_failed() ? 0 : (weir_rows)weir_done(weir_host_rows_nest(rows, t.at, t.len, child, on, column));
}
WEIR_API void weir_close(weir_rows rows) {
    if (!weir_failed()) weir_done(weir_host_close(rows));
}

/* Rows: reading. for (weir_cursor k = weir_each(rows); weir_next(&k);) reads the columns
 * from &k.row, in their order; what is left of a row is passed. */

typedef struct {
    weir_rows rows;
    uint32_t index, count, columns, cap;
    uint8_t *page;
    weir_reader rest, row;
} weir_cursor;

WEIR_API weir_cursor weir_each(weir_rows rows) { return (weir_cursor){.rows = rows, .count = weir_count(rows)}; }

/* weir_turn reads the next page. When not even one row fits, the host says how much it needs: -64 and below. */
WEIR_API void weir_turn(weir_cursor *k) {
    if (k->page == NULL) k->page = weir_alloc(k->cap = WEIR_PAGE_BYTES);
    int32_t n = weir_host_rows_read(k->rows, k->index, k->page, k->cap);
    if (n <= -64) {
        k->page = weir_alloc(k->cap = (uint32_t)-n);
        n = weir_host_rows_read(k->rows, k->index, k->page, k->cap);
    }
    if (n == 0) weir_broken("the host gave fewer rows than it promised");
    k->rest = (weir_reader){k->page, k->page + (weir_done(n) > 0 ? n : 0)};
}

WEIR_API bool weir_next(weir_cursor *k) {
    if (weir_failed() || k->index == k->count) return false;
    if (k->rest.at == k->rest.end) weir_turn(k);
    k->row = k->rest;
    weir_skip(&k->rest);
    k->row.end = k->rest.at;
    k->columns = weir_read_array(&k->row);
    k->index++;
    return !weir_failed();
}

/* The rest. */

/* weir_now is the time of the call in microseconds since 1970, the same while it runs. */
WEIR_API int64_t weir_now(void) { return weir_host_now(); }

/* weir_wake_at asks for the function to be run again then, whatever has changed. */
WEIR_API void weir_wake_at(int64_t micros) {
    if (!weir_failed()) weir_done(weir_host_wake_at(micros));
}

/* weir_random fills memory: repeatable in queries and policies, unpredictable in mutations. */
WEIR_API void weir_random(void *buf, uint32_t len) {
    if (!weir_failed()) weir_done(weir_host_random(buf, len));
}

/* weir_config gives what the operator set for a key, and whether it is set. */
WEIR_API bool weir_config(weir_text key, weir_text *value) {
    uint32_t cap = 256;
    char *buf = weir_alloc(cap);
    *value = (weir_text){"", 0};
    if (weir_failed()) return false;
    int32_t n = weir_host_config(key.at, key.len, buf, cap);
    if (n > (int32_t)cap) {
        cap = (uint32_t)n;
        buf = weir_alloc(cap);
        n = weir_host_config(key.at, key.len, buf, cap);
    }
    if (n == -8 || weir_done(n) < 0) return false; /* no such key */
    *value = (weir_text){buf, (uint32_t)n};
    return true;
}

/* The manifest. */

WEIR_API void weir_put_pair(weir_out *w, const char *key, const char *text) {
    if (text == NULL) return;
    weir_key(w, key);
    weir_put_str(w, text);
}

/* weir_put_names writes a list of what commas separate. */
WEIR_API void weir_put_names(weir_out *w, const char *key, const char *names) {
    if (names == NULL) return;
    weir_key(w, key);
    weir_begin_array(w);
    for (const char *p = names; *p != 0;) {
        while (*p == ' ' || *p == ',') p++;
        const char *from = p;
        while (*p != 0 && *p != ',' && *p != ' ') p++;
        if (p > from) weir_put_text(w, (weir_text){from, (uint32_t)(p - from)});
    }
    weir_end(w);
}

WEIR_API void weir_put_flag(weir_out *w, const char *key, bool is) {
    if (!is) return;
    weir_key(w, key);
    weir_put_bool(w, true);
}

WEIR_API void weir_put_fields(weir_out *w, const char *key, const weir_field *fields, weir_source from);

WEIR_API void weir_put_absent(weir_out *w, weir_constant c) {
    if (c.kind == 0) return;
    weir_key(w, "default");
    if (c.kind == 'i') weir_put_int(w, c.i);
    else if (c.kind == 'f') weir_put_float(w, c.f);
    else if (c.kind == 'b') weir_put_bool(w, c.i != 0);
    else weir_put_str(w, c.s);
}

WEIR_API void weir_put_bound(weir_out *w, const char *key, weir_bound b) {
    if (!b.set) return;
    weir_key(w, key);
    weir_put_float(w, b.is);
}

WEIR_API void weir_put_length(weir_out *w, const char *key, weir_length n) {
    if (!n.set) return;
    weir_key(w, key);
    weir_put_uint(w, n.is);
}

WEIR_API void weir_put_schema(weir_out *w, const weir_schema *s) {
    weir_begin_map(w);
    weir_put_pair(w, "type", s->type);
    weir_put_pair(w, "format", s->format);
    weir_put_flag(w, "optional", s->optional);
    weir_put_absent(w, s->absent);
    weir_put_bound(w, "minimum", s->min);
    weir_put_bound(w, "maximum", s->max);
    weir_put_length(w, "minLength", s->min_len);
    weir_put_length(w, "maxLength", s->max_len);
    if (s->one_of != NULL) {
        weir_key(w, "enum");
        weir_begin_array(w);
        for (uint32_t i = 0; s->one_of[i] != NULL; i++) weir_put_str(w, s->one_of[i]);
        weir_end(w);
    }
    if (s->items != NULL) {
        weir_key(w, "items");
        weir_put_schema(w, s->items);
    }
    if (s->fields != NULL && s->fields[0].name != NULL) weir_put_fields(w, "fields", s->fields, WEIR_FROM_CALLER);
    weir_put_pair(w, "description", s->doc);
    weir_end(w);
}

WEIR_API uint32_t weir_count_from(const weir_field *fields, weir_source from) {
    uint32_t n = 0;
    for (uint32_t i = 0; fields != NULL && fields[i].name != NULL; i++) n += fields[i].from == from;
    return n;
}

WEIR_API void weir_put_fields(weir_out *w, const char *key, const weir_field *fields, weir_source from) {
    weir_key(w, key);
    weir_begin_array(w);
    for (uint32_t i = 0; fields != NULL && fields[i].name != NULL; i++) {
        if (fields[i].from != from) continue;
        weir_begin_map(w);
        weir_put_pair(w, "name", fields[i].name);
        if (from == WEIR_FROM_CLAIM) weir_put_pair(w, "claim", fields[i].claim);
        if (from != WEIR_FROM_CLAIM || fields[i].is.type != NULL) {
            weir_key(w, "schema");
            weir_put_schema(w, &fields[i].is);
        }
        weir_end(w);
    }
    weir_end(w);
}

WEIR_API void weir_put_statement(weir_out *w, const weir_statement *s) {
    weir_begin_map(w);
    weir_put_pair(w, "sql", s->sql);
    weir_put_names(w, "key", s->key);
    if (s->nest != NULL) {
        weir_key(w, "nest");
        weir_begin_array(w);
        for (const weir_nested *n = s->nest; n->name != NULL; n++) {
            weir_begin_map(w);
            weir_put_pair(w, "name", n->name);
            weir_put_pair(w, "on", n->on);
            weir_key(w, "statement");
            weir_put_uint(w, n->statement);
            weir_put_pair(w, "column", n->column);
            weir_end(w);
        }
        weir_end(w);
    }
    weir_end(w);
}

WEIR_API void weir_put_access(weir_out *w, const weir_function *f) {
    if (f->signed_in || f->public) weir_put_pair(w, "access", f->signed_in ? "signed_in" : "public");
    else if (f->require != NULL) {
        weir_key(w, "access");
        weir_begin_map(w);
        weir_put_names(w, "policies", f->require);
        weir_end(w);
    }
}

WEIR_API void weir_put_function(weir_out *w, const weir_function *f) {
    weir_begin_map(w);
    weir_put_pair(w, "name", f->name);
    weir_put_pair(w, "kind", f->kind == WEIR_QUERY ? "query" : f->kind == WEIR_MUTATION ? "mutation" : "policy");
    weir_put_fields(w, "fields", f->fields, WEIR_FROM_CALLER);
    if (weir_count_from(f->fields, WEIR_FROM_CLAIM) > 0) weir_put_fields(w, "claims", f->fields, WEIR_FROM_CLAIM);
    if (weir_count_from(f->fields, WEIR_FROM_SCOPE) > 0) weir_put_fields(w, "scope", f->fields, WEIR_FROM_SCOPE);
    weir_put_flag(w, "action", weir_count_from(f->fields, WEIR_FROM_ACTION) > 0);
    weir_put_flag(w, "function", weir_count_from(f->fields, WEIR_FROM_FUNCTION) > 0);
    if (f->run == NULL) {
        weir_key(w, "statement");
        weir_put_uint(w, f->statement);
    } else if (f->uses_len > 0) {
        weir_key(w, "uses");
        weir_begin_array(w);
        for (uint32_t i = 0; i < f->uses_len; i++) weir_put_uint(w, f->uses[i]);
        weir_end(w);
    }
    weir_put_access(w, f);
    if (f->result != NULL) {
        weir_key(w, "result");
        weir_put_schema(w, f->result);
    }
    weir_put_pair(w, "doc", f->doc);
    weir_end(w);
}

/* What the exports do. */

WEIR_API void weir_begin_call(void) {
    weir_arena_used = 0;
    memset(&weir_now_running, 0, sizeof weir_now_running);
}

/* weir_error_value writes the error of the call. The arena may be full: it begins anew, and what it needs is copied first. */
WEIR_API weir_reply weir_error_value(void) {
    static char code[128], message[7680];
    weir_text c = weir_cut(weir_now_running.code, sizeof code), m = weir_cut(weir_now_running.message, sizeof message);
    memmove(code, c.at, c.len);
    memmove(message, m.at, m.len);
    c.at = code;
    m.at = message;
    if (c.len == 0) c = weir_str("internal");
    if (!weir_is_utf8(m)) m = weir_str("an error whose message is not UTF-8");
    bool public = weir_now_running.public, retryable = weir_now_running.retryable;
    weir_begin_call();
    weir_out *w = weir_new_out();
    weir_begin_map(w);
    weir_key(w, "code");
    weir_put_text(w, c);
    weir_key(w, "public");
    weir_put_bool(w, public);
    weir_key(w, "message");
    weir_put_text(w, m);
    weir_key(w, "retryable");
    weir_put_bool(w, retryable);
    weir_end(w);
    return weir_packed(2, (uint32_t)(uintptr_t)w->at, w->len);
}

WEIR_API weir_reply weir_describe_plugin(const weir_plugin *p) {
    weir_begin_call();
    weir_out *w = weir_new_out();
    weir_begin_map(w);
    weir_key(w, "abi");
    weir_put_uint(w, 1);
    weir_put_pair(w, "name", p->name);
    weir_put_pair(w, "version", p->version);
    weir_key(w, "statements");
    weir_begin_array(w);
    for (uint32_t i = 0; i < p->statements_len; i++) weir_put_statement(w, &p->statements[i]);
    weir_end(w);
    weir_key(w, "functions");
    weir_begin_array(w);
    for (uint32_t i = 0; i < p->functions_len; i++) weir_put_function(w, &p->functions[i]);
    weir_end(w);
    weir_put_names(w, "capabilities", WEIR_CAPABILITIES);
    weir_end(w);
    weir_reply reply = weir_value(w);
    weir_now_running.public = true;
    return weir_failed() ? weir_error_value() : reply;
}

/* weir_input_buffer grows by whole pages at the end of memory; the first is part of the
 * module. The arena, which is empty between calls, moves behind it. */
WEIR_API void *weir_input_buffer(uint32_t min) {
    if (min > weir_input_cap) {
        uint32_t pages = (min + 65535u) / 65536u;
        size_t before = __builtin_wasm_memory_grow(0, pages);
        if (before == (size_t)-1) weir_panic("no memory for a larger input");
        weir_input_at = (uint8_t *)(before * 65536u);
        weir_input_cap = pages * 65536u;
        weir_arena = (uintptr_t)weir_input_at + weir_input_cap;
        weir_arena_used = 0;
    }
    return weir_input_at;
}

/* weir_run finds where each item of the input begins, and runs the function. */
WEIR_API weir_reply weir_run(const weir_plugin *p, uint32_t f, uint32_t len) {
    weir_begin_call();
    weir_reply reply = 0;
    if (f >= p->functions_len || p->functions[f].run == NULL || len > weir_input_cap) {
        weir_broken("the host called a function that is not the guest's");
        return weir_error_value();
    }
    weir_reader r = {weir_input_at, weir_input_at + len};
    uint32_t want = 0, n = weir_read_array(&r);
    weir_now_running.fields = p->functions[f].fields;
    while (weir_now_running.fields != NULL && weir_now_running.fields[want].name != NULL) want++;
    uint32_t *starts = weir_alloc((n + 1) * sizeof *starts);
    for (uint32_t i = 0; i < n && !weir_failed(); i++) {
        starts[i] = (uint32_t)(r.at - weir_input_at);
        weir_skip_nested(&r, 1);
    }
    starts[n] = (uint32_t)(r.at - weir_input_at);
    weir_now_running.starts = starts;
    if (n != want || r.at != r.end) weir_broken("the input has another number of values than the function has fields");
    if (!weir_failed()) reply = p->functions[f].run();
    return weir_failed() ? weir_error_value() : reply;
}

#endif
